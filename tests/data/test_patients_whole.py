"""A patient's images stay in one part; where a split divides them, it is counted and shown."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_sets import draw_image, draw_mask

from bus_lightning.config.split_options import METHODS, PARTS
from bus_lightning.core.errors import UserError
from bus_lightning.data.collection import join_indexes
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.groups import keep_together
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.published import count_divided, count_divided_groups, describe_divided, published_parts
from bus_lightning.data.sources import images_masks, table
from bus_lightning.data.sources.registry import DataSet
from bus_lightning.data.splits import load_split
from bus_lightning.data.splitting import make_split
from bus_lightning.export.card import _METHODS
from bus_lightning.report.contents import contents
from bus_lightning.report.sections import Note
from bus_lightning.statistics.conditions import read_group

PATIENTS, IMAGES = 24, 3
KNOWN = "data.classes=[benign,malignant,normal]"
CLASSES = ("benign", "malignant", "normal")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A hospital's table: 24 patients with three images, most with two classes; two patients share a frame."""
    folder = tmp_path_factory.mktemp("hospital")
    rows = []
    for patient in range(PATIENTS):
        for number in range(IMAGES):
            name, kind = f"p{patient:02}_{number}.png", CLASSES[(patient + (number == 2)) % 3]
            # The first frame of patient 1 is that of patient 0.
            seed = 0 if (patient, number) == (1, 0) else patient * IMAGES + number
            draw_image(folder / "images" / name, seed)
            draw_mask(folder / "masks" / name)
            rows.append({"image": f"images/{name}", "mask": f"masks/{name}", "class": kind, "patient": f"P{patient}"})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return folder


@pytest.fixture
def hospital_config(composed, hospital):
    def make(*overrides):
        columns = "++data.columns={image: image, mask: mask, class: class, patient: patient}"
        table = f"data.table={hospital / 'table.csv'}"
        return composed("data=table", table, columns, KNOWN, "model=resnet34",
                        "data.split.ratio=[4,1,2]", *overrides, root=hospital)  # fmt: skip

    return make


@pytest.fixture
def prepared(hospital_config):
    def make(*overrides):
        return prepare_data(hospital_config(*overrides).data, needs_masks=False)

    return make


def patients_of(split, part):
    return {id_.partition("_")[0] for id_ in split.part(part)}


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("data.split.seed=5",),
        ("data.split.ratio=[5,2]", "data.split.val_from_train=1"),
        ("data.split.folds=4", "data.split.fold=0"),
        ("data.split.folds=4", "data.split.fold=3"),
        ("data.split.cross_folds=3", "data.split.cross_fold=0"),
        ("data.split.cross_folds=3", "data.split.cross_fold=2"),
        ("data.balance=oversample",),
        ("data.mistake=flipped_copies",),
    ],
)
def test_no_patient_is_in_two_parts(options, hospital_config):
    cfg = hospital_config(*options)
    data = prepare_data(cfg.data, needs_masks=False)
    split = data.split(cfg.data.split)
    if cfg.data.mistake:  # copies are separated from their image on purpose, but never from the test images
        assert patients_of(split, "test").isdisjoint(patients_of(split, "train") | patients_of(split, "val"))
        return
    train, val, test = (patients_of(split, part) for part in PARTS)
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)
    assert train
    assert test
    assert split.divided == {"patients": {}, "near-duplicates": {}}
    module = BusDataModule(data, split, cfg, False)
    served = {row.patient for row in module.parts["train"].rows}
    assert served.isdisjoint(row.patient for part in ("val", "test") for row in module.parts[part].rows)


def test_two_patients_with_the_same_frame_stay_together(prepared, hospital_config):
    data = prepared()
    assert len(set(data.groups.values())) == PATIENTS - 1
    for seed in range(5):
        split = data.split(hospital_config(f"data.split.seed={seed}").data.split)
        (part,) = [name for name in PARTS if "images/p00" in patients_of(split, name)]
        assert "images/p01" in patients_of(split, part)


def test_patients_with_several_classes_lose_no_image_and_raise_no_warning(prepared, caplog):
    with caplog.at_level(logging.WARNING):
        data = prepared("data.drop_conflicts=true")
    # The shared frame has the class of patient 0 and that of patient 1: this is the one conflict.
    assert set(data.frame["id"]) == set(prepared().frame["id"]) - {"images/p00_0", "images/p01_0"}
    assert "class" not in caplog.text


@pytest.mark.parametrize("method", ["random", "stratified", "grouped"])
def test_every_method_writes_the_groups_of_patients_that_intervals_draw(method, hospital_config, tmp_path):
    cfg = hospital_config(f"data.split.method={method}")
    data = prepare_data(cfg.data, needs_masks=False)
    data.split(cfg.data.split).save(tmp_path / "split.json")
    split = load_split(tmp_path / "split.json")
    assert split.groups.keys() == set(split.part("all"))
    for id_, group in split.groups.items():
        same = {other for other, own in split.groups.items() if own == group}
        assert {other for other in split.groups if other[:10] == id_[:10]} <= same
    if method != "grouped":
        train, test = patients_of(split, "train"), patients_of(split, "test")
        assert split.divided["patients"]["train-test"] == len(train & test) > 0


def test_lists_of_the_user_are_counted_too(prepared, hospital_config, tmp_path):
    data = prepared()
    ids = data.frame["id"].tolist()
    parts = {"train": ids[:40], "val": ids[40:53], "test": ids[53:], "method": "random"}
    file = tmp_path / "lists.json"
    file.write_text(json.dumps(parts))
    options = hospital_config("data.split.method=file", f"data.split.file={file}").data.split
    assert data.split(options).divided["patients"] == {"train-val": 1, "val-test": 1}


def published_frame():
    """Six patients with two images; the second image of patients 1 and 2 is in validation, 5 and 6 are tested."""
    rows = []
    for patient in range(1, 7):
        for number in range(2):
            part = "test" if patient > 4 else "val" if number and patient < 3 else "train"
            rows.append({"id": f"{patient}-{number}", "class": CLASSES[(patient + number) % 2], "patient": str(patient),
                         "duplicates": 3 if (patient, number) in {(3, 0), (5, 0)} else 10 * patient + number,
                         "parts_5": (part, "train", "train", "train", "train"),
                         "parts_10": ("train",) * 10})  # fmt: skip
    return pd.DataFrame(rows)


def test_a_published_split_says_what_it_divides_in_its_file(tmp_path, caplog):
    frame = published_frame()
    groups = {id_: int(id_[0]) for id_ in frame["id"]}
    with caplog.at_level(logging.WARNING):
        split = make_split(frame, groups, "published", fold=0, folds=5)
    expected = {"patients": {"train-val": 2}, "near-duplicates": {"train-test": 1}}
    assert split.divided == expected
    assert "published split divides 2 patients between train and val, 1 group of near-duplicates" in caplog.text
    split.save(tmp_path / "split.json")
    assert load_split(tmp_path / "split.json").divided == expected
    assert json.loads((tmp_path / "split.json").read_text())["groups"] == groups


def test_a_fold_without_a_number_of_folds_takes_the_smallest_and_says_so(caplog):
    frame = published_frame()
    with caplog.at_level(logging.INFO):
        assert published_parts(frame, None, 0) == published_parts(frame, 5, 0)
    assert "5 or 10 folds: 5 are used" in caplog.text
    with pytest.raises(UserError, match=r"needs data\.split\.fold, from 0 to 4"):
        published_parts(frame, None, None)
    with pytest.raises(UserError, match="5 or 10"):
        published_parts(frame, 3, 0)


def test_patients_of_two_data_sets_with_one_number_are_two_patients():
    frame = pd.DataFrame({"id": list("abcd"), "patient": ["1", "1", "2", ""], "dataset": ["x", "y", "x", "x"]})
    parts = {"train": ["a", "d"], "val": [], "test": ["b", "c"]}
    assert count_divided(frame, parts, "random") == {"patients": {}}
    assert count_divided(frame.assign(dataset="x"), parts, "random") == {"patients": {"train-test": 1}}
    assert count_divided(frame.assign(patient=""), parts, "random") == {}


def test_groups_are_counted_for_a_split_of_an_earlier_version():
    groups = {"a": 1, "b": 1, "c": 2, "d": 2}
    divided = count_divided_groups(groups, {"train": ["a", "c"], "val": ["d"], "test": ["b"]})
    assert describe_divided(divided) == "1 group between train and val, 1 group between train and test"
    assert describe_divided(count_divided_groups(groups, {"train": ["a", "b"], "val": [], "test": ["c"]})) == ""


def test_the_report_shows_what_each_condition_divides(finished):
    run = finished("model=resnet34", KNOWN, "data.split.method=random", method="random")
    content = json.loads(run.split.read_text())
    content["divided"] = {"patients": {"train-test": 45, "train-val": 7}, "near-duplicates": {}}
    run.split.write_text(json.dumps(content))
    (section,) = [section for section in contents(read_group(run.path.parent)) if section.title == "The data"]
    first = section.items[0]
    assert isinstance(first, Note)
    assert first.kind == "warning"
    assert "the random split divides 45 patients between train and test, 7 patients between train and val" in first.text
    (table,) = [item.frame for item in section.items if getattr(item, "slug", "") == "splits"]
    assert table["divides"].tolist() == ["45 patients between train and test, 7 patients between train and val"]


def test_a_grouped_split_divides_nothing_in_the_report(finished):
    run = finished("model=resnet34", KNOWN)
    (section,) = [section for section in contents(read_group(run.path.parent)) if section.title == "The data"]
    (table,) = [item.frame for item in section.items if getattr(item, "slug", "") == "splits"]
    assert table["divides"].tolist() == ["nothing"]
    assert not [item for item in section.items if isinstance(item, Note)]


def test_a_run_with_patients_is_trained_and_its_cases_carry_them(hospital_config):
    from bus_lightning.runs.folder import RunDir
    from bus_lightning.training import train

    cfg = hospital_config("group=hospital", "data.size=32", "data.balance=oversample")
    train.run(cfg)
    (condition,) = read_group(Path(cfg.runs_dir) / cfg.group).conditions
    cases = condition.cases
    patients = cases["id"].str.partition("_")[0]
    joined = patients.replace("images/p01", "images/p00")
    assert cases.groupby(joined)["group"].nunique().max() == 1
    assert cases.groupby("group").apply(lambda own: joined[own.index].nunique()).max() == 1
    assert RunDir(condition.runs[0].path).split.is_file()
    assert np.isin(cases["group"], list(condition.splits[condition.runs[0].path.name].groups.values())).all()


def test_the_model_card_describes_every_method_of_splitting():
    assert _METHODS.keys() == set(METHODS)


def test_a_set_without_groups_is_no_group_of_its_own_next_to_a_table_that_has_them(hospital):
    options = {"table": hospital / "table.csv", "columns": {"image": "image", "group": "patient"}}
    indexes = {"table": table.read(hospital, options), "folders": images_masks.read(hospital, {})}
    _, frame = join_indexes([DataSet(name, hospital, index, CLASSES) for name, index in indexes.items()])
    frame["dataset"] = frame["id"].str.partition("/")[0]
    groups = keep_together(frame, {id_: number for number, id_ in enumerate(frame["id"])})
    counts = pd.Series(groups).groupby(frame.set_index("id")["dataset"]).nunique()
    assert counts.to_dict() == {"table": PATIENTS, "folders": PATIENTS * IMAGES}
