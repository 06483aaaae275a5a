"""A run keeps what is known of each of its images, and how many images each step left out."""

import json
import shutil

import pandas as pd
import pytest

from bus_lightning.core.errors import DamagedError
from bus_lightning.data.described import tabulate_images
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.splits import make_named_split
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.images import find_recorded_images, read_images, write_images
from bus_lightning.runs.sets import read_sets_of, write_sets


@pytest.fixture
def written(data_config, tmp_path):
    """Prepare a folder and write what a run keeps of its images."""

    def make(*overrides, name="run", only=None, table=False, **options):
        cfg = data_config(*overrides, **options)
        if table:
            roles = ("image", "class", "patient")
            own = {"source": "table", "table": f"{options['root']}/table.csv", "root": None}
            cfg.data.sets = {"table": own | {"columns": {role: role for role in roles}}}
        prepared = prepare_data(cfg.data, needs_masks=False, only=only)
        folder = RunDir(tmp_path / name)
        folder.path.mkdir()
        ids = prepared.frame["id"].tolist()
        split = make_named_split({"train": ids[2:], "val": ids[1:2], "test": ids[:1]}, "random", prepared.groups)
        split.save(folder.split)
        write_sets(folder, prepared, split)
        return folder, prepared, split

    return make


def flow_of(folder):
    (flow,) = read_sets_of(folder).flow.values()
    return flow


def test_each_image_of_a_run_has_a_row_with_what_was_measured(written):
    folder, prepared, split = written()
    images = read_images(folder.images).set_index("id")
    assert sorted(images.index) == split.part("all")
    lesions = images[images["class"] != "normal"]
    assert lesions["lesion_share"].between(0.001, 0.6).all()
    assert (images.loc[images["class"] == "normal", "lesion_share"] == 0).all()
    assert (images[["width", "height"]] > 100).all().all()
    assert set(images["marked"]) == {0.0, 1.0}  # some phantoms have calipers
    assert images["patient"].isna().all()
    assert set(images["device"]) == set(images["birads"]) == {"unknown"}
    groups = images["duplicates"].to_dict()
    assert {id_: groups[id_] for id_ in split.part("all")} == {
        row.id: prepared.audit.groups[row.source] for row in prepared.frame.itertuples()
    }


def test_a_patient_is_a_number_and_its_name_is_in_no_file(small_copy, written):
    files = sorted(path for path in small_copy.glob("*/*.png") if "_mask" not in path.name)
    rows = [
        {"image": file.relative_to(small_copy), "class": file.parent.name, "patient": f"Maria-{k // 2}"}
        for k, file in enumerate(files)
    ]
    pd.DataFrame(rows).to_csv(small_copy / "table.csv", index=False)
    folder, *_ = written(root=small_copy, table=True)
    assert "Maria" not in folder.images.read_text() + folder.sets.read_text()
    images = read_images(folder.images)
    assert images["patient"].nunique() == -(-len(files) // 2)


def test_a_device_and_a_category_are_kept_where_the_set_has_them(written, small_copy):
    folder, prepared, _ = written(root=small_copy)
    number = len(prepared.frame)
    sizes = [(0.1, 0.1)] + [None] * (number - 1)
    known = prepared.frame.assign(device=["GE Logiq 7", *[""] * (number - 1)], birads=["4a", 2, *[None] * (number - 2)])
    write_images(folder, tabulate_images(known.assign(mm_per_pixel=sizes), prepared.audit))
    images = read_images(folder.images)
    assert images["device"].tolist() == ["GE Logiq 7", *["unknown"] * (number - 1)]
    assert images["birads"].tolist() == ["4a", "2", *["unknown"] * (number - 2)]
    pixels = images["lesion_share"][0] * images["width"][0] * images["height"][0]
    assert images["lesion_mm"][0] == pytest.approx(2 * (pixels * 0.01 / 3.14159265) ** 0.5)
    assert images["lesion_mm"][1:].isna().all()


def test_the_flow_counts_the_files_and_what_each_step_leaves_out(small_copy, written, tmp_path):
    images = sorted(path for path in small_copy.glob("*/*.png") if "_mask" not in path.name)
    masks = len(list(small_copy.glob("*/*_mask*.png")))
    benign = [path for path in images if path.parent.name == "benign"]
    malignant = [path for path in images if path.parent.name == "malignant"]
    normal = [path for path in images if path.parent.name == "normal"]
    (small_copy / "benign" / "notes.png~").write_text("a backup")
    shutil.copy(malignant[0], small_copy / "benign" / "benign (99).png")  # a near-duplicate of another class
    benign[0].write_bytes(benign[0].read_bytes()[:100])
    excluded = tmp_path / "excluded.csv"
    excluded.write_text(f"id\nbenign/{benign[1].stem}\n")
    folder, prepared, _ = written(
        f"data.exclude={excluded}", "data.drop_conflicts=true", "data.skip_unreadable=true",
        "data.classes=[benign,malignant]", root=small_copy,
    )  # fmt: skip
    assert flow_of(folder) == {
        "files": len(images) + 1 + masks + 1,
        "not_read": 1,
        "masks": masks,
        "masks_without_image": 0,
        "rows_without_file": 0,
        "images": len(images) + 1,
        "left_out": {"other_class": len(normal), "excluded": 1, "conflict": 2, "unreadable": 1},
        "copied": 0,
        "used": len(images) - len(normal) - 3,
    }
    assert flow_of(folder)["used"] == len(prepared.frame)


def test_an_image_that_two_steps_would_leave_out_counts_in_the_first(small_copy, written, tmp_path):
    first = sorted(path for path in small_copy.glob("benign/*.png") if "_mask" not in path.name)[0]
    first.write_bytes(first.read_bytes()[:100])
    excluded = tmp_path / "excluded.csv"
    excluded.write_text(f"id\nbenign/{first.stem}\n")
    folder, *_ = written(f"data.exclude={excluded}", "data.skip_unreadable=true", root=small_copy)
    assert flow_of(folder)["left_out"] == {"excluded": 1}


def test_copies_of_a_mistake_are_counted_as_copies(written, small_copy):
    folder, prepared, _ = written("data.mistake=flipped_copies", root=small_copy)
    flow = flow_of(folder)
    assert flow["used"] == len(prepared.frame) == 4 * flow["images"]
    assert flow["copied"] == 3 * flow["images"]
    assert read_images(folder.images)["lesion_share"].notna().all()


def test_images_outside_of_a_runs_split_are_counted(written, small_copy):
    every = written(root=small_copy)[2].part("all")
    folder, *_ = written(root=small_copy, name="part", only=every[:6])
    assert flow_of(folder)["left_out"] == {"other_part": len(every) - 6}


def test_a_run_of_an_earlier_version_takes_its_images_from_an_evaluation_of_the_same_parts(written, small_copy):
    folder, _, split = written(root=small_copy)
    whole = find_recorded_images(folder, split)
    assert whole is not None
    evaluation = RunDir(folder.path / "evaluations" / "test-1")
    evaluation.path.mkdir(parents=True)
    folder.images.rename(evaluation.images)
    assert find_recorded_images(folder, split) is None  # nothing says which images the evaluation tested
    split.save(evaluation.split)
    pd.testing.assert_frame_equal(find_recorded_images(folder, split), whole)
    other = {"train": split.val, "val": split.train, "test": split.test}
    make_named_split(other, "random", split.groups).save(evaluation.split)
    assert find_recorded_images(folder, split) is None


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("lesion_share", "1.5", "is above 1"), ("width", "12.5", "not a whole number"),
     ("marked", "maybe", "not a number"), ("device", "", "an empty cell"), ("id", None, "no column id"),
     ("lesion_mm", "-1", "is below 0")],
)  # fmt: skip
def test_impossible_values_of_images_are_damage(written, small_copy, column, value, words):
    folder, _, split = written(root=small_copy)
    images = pd.read_csv(folder.images, dtype=str, keep_default_na=False)
    (images.drop(columns=column) if value is None else images.assign(**{column: value})).to_csv(
        folder.images, index=False
    )
    with pytest.raises(DamagedError, match=words):
        read_images(folder.images)
    assert find_recorded_images(folder, split) is None


def test_an_impossible_flow_is_damage(written, small_copy):
    folder, *_ = written(root=small_copy)
    content = json.loads(folder.sets.read_text())
    content["flow"][next(iter(content["flow"]))]["files"] = -1
    folder.sets.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match="flow is"):
        read_sets_of(folder)
