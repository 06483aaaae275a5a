"""A set is described in a few numbers: its sizes, patients, devices, lesions, tint and burned-in marks."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_sets import draw_image, draw_mask

from bus_lightning.data.audit import audit_folder, cached_audit
from bus_lightning.data.collection import collect_images
from bus_lightning.data.described import describe_set
from bus_lightning.data.measures import COLUMNS, by_column, list_measures, measure_image, tabulate_measures
from bus_lightning.data.sources.registry import DataSet, read_sets


def grey(height: int = 60, width: int = 80) -> np.ndarray:
    return np.repeat(np.random.default_rng(0).integers(0, 60, (height, width, 1), dtype=np.uint8), 3, axis=2)


def test_an_image_is_measured():
    lesion = np.zeros((60, 80), np.uint8)
    lesion[10:20, 10:30] = 1
    measures = measure_image(grey(), lesion)
    assert (measures.width, measures.height, measures.lesion) == (80, 60, 200)
    assert (measures.tinted, measures.colored, measures.marked) == (False, False, False)
    assert measure_image(grey(), None).lesion is None


def test_a_tint_is_not_a_coloured_mark_and_a_mark_is_not_a_tint():
    tinted, marked = grey(), grey()
    tinted[..., 2] += 20
    marked[5:9, 5:15] = (255, 255, 0)
    assert (measure_image(tinted, None).tinted, measure_image(tinted, None).colored) == (True, False)
    assert (measure_image(marked, None).tinted, measure_image(marked, None).colored) == (False, True)


def test_measures_are_unchanged_after_they_were_lists():
    columns = by_column([measure_image(grey(), None), None, measure_image(grey(), np.ones((60, 80), np.uint8))])
    assert json.loads(json.dumps(columns)) == columns
    table = tabulate_measures("abc", columns)
    assert table["share"].isna().tolist() == [True, True, False]
    assert table.loc["c", "share"] == 1
    assert list_measures(table) == columns


def read_table(root: Path, rows: list[str], name: str = "one") -> DataSet:
    (root / "table.csv").write_text("\n".join(["file,mask,kind,number,mm", *rows]))
    columns = {"image": "file", "mask": "mask", "class": "kind", "patient": "number", "mm_per_pixel": "mm"}
    options = {"source": "table", "table": str(root / "table.csv"), "columns": columns}
    (dataset,) = read_sets({"sets": {name: options}, "root": root})
    return dataset


@pytest.fixture
def dataset(tmp_path):
    for number in range(4):
        draw_image(tmp_path / f"{number}.png", number, "L")
    Image.open(tmp_path / "0.png").save(tmp_path / "copy.png")
    draw_mask(tmp_path / "m0.png")  # 20 x 20
    draw_mask(tmp_path / "m1.png", box=(0, 0, 10, 10))
    draw_mask(tmp_path / "m2.png", box=(5, 5, 15, 10))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    rows = ["0.png,m0.png,benign,1,0.1", "copy.png,m0.png,benign,2,", "1.png,m1.png;m2.png,malignant,1,0.5",
            "2.png,m0.png;bad.png,malignant,,", "3.png,,normal,,"]  # fmt: skip
    return read_table(tmp_path, rows)


def test_a_set_is_described(dataset):
    described = describe_set(dataset.index.frame, audit_folder(dataset.root, dataset.index, progress=False))
    assert json.loads(json.dumps(described)) == described
    assert described["images"] == 5
    assert (described["patients"], described["images_without_patient"]) == (2, 2)
    assert described["classes"] == {"benign": 2, "malignant": 2, "normal": 1}
    assert (described["median_width"], described["median_height"]) == (48, 48)
    union = 100 + 50 - 25  # of two masks that overlap
    assert described["lesions"] == 3  # the one with a mask that cannot be read is not known
    assert described["median_lesion_share"] == 400 / 48**2
    diameters = [2 * math.sqrt(400 * 0.1**2 / math.pi), 2 * math.sqrt(union * 0.5**2 / math.pi)]
    assert described["median_lesion_mm"] == pytest.approx(np.mean(diameters))
    assert described["share_tinted"] == 0
    assert described["near_duplicate_groups"] == 1
    assert described["devices"] == {}


def test_a_part_of_a_set_is_described_alone(dataset):
    audit = audit_folder(dataset.root, dataset.index, progress=False)
    described = describe_set(dataset.index.frame.query("`class` == 'normal'"), audit)
    assert (described["images"], described["patients"], described["lesions"]) == (1, None, 0)
    assert (described["median_lesion_share"], described["median_lesion_mm"]) == (None, None)
    assert described["near_duplicate_groups"] == 0
    assert describe_set(dataset.index.frame.iloc[:0], audit)["share_marked"] is None


def test_measures_are_kept_with_the_findings(dataset, tmp_path):
    fresh = audit_folder(dataset.root, dataset.index, progress=False)
    first = cached_audit(dataset.root, dataset.index, tmp_path / "cache")
    again = cached_audit(dataset.root, dataset.index, tmp_path / "cache")
    assert fresh.measures == first.measures == again.measures
    assert fresh.measures.keys() == COLUMNS.keys()


def test_measures_of_several_sets_stay_with_their_images(tmp_path):
    sets = []
    for name, sizes in (("b", (30, 40)), ("a", (50, 60))):
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            Image.new("L", (size, size), number + 1).save(tmp_path / name / f"{number}.png")
        sets.append(read_table(tmp_path / name, [f"{number}.png,,benign,," for number in range(2)], name))
    audit = collect_images(sets, tmp_path / "cache").audit
    widths = tabulate_measures(audit.groups, audit.measures)["width"]
    assert widths.to_dict() == {"a/0": 50, "a/1": 60, "b/0": 30, "b/1": 40}


@pytest.mark.busi
def test_busi_is_described(busi, busi_audit):
    (dataset,) = read_sets({"sets": {"busi": {"source": "busi"}}, "root": busi})
    described = describe_set(dataset.index.frame, busi_audit)
    assert (described["images"], described["lesions"], described["patients"]) == (780, 647, None)
    assert (described["median_width"], described["median_height"]) == (564, 474)
    assert described["share_marked"] == pytest.approx(0.71, abs=0.005)
    assert described["share_tinted"] == 0
    assert len(busi_audit.problems["color_marks"]) == 16
    assert described["near_duplicate_groups"] == 149
    assert busi_audit.summary()["images_in_near_duplicate_groups"] == 329
