"""A report shows the flow from files to analysed images, and the characteristics of each part."""

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.text import Text
from study_runs import FLOW, describe_images, draw_predictions, name_images, record

from bus_lightning.data.splits import load_split, make_named_split
from bus_lightning.report.characteristics import NOT_RECORDED, characteristics
from bus_lightning.report.image_section import image_section
from bus_lightning.report.sections import FigureItem, Note, TableItem
from bus_lightning.report.studied_images import read_studied
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group

TRAIN, VAL, TEST = name_images(30, 500), name_images(12, 700), name_images(60, 900)


@pytest.fixture
def run(finished):
    """A finished run of a classifier with 30, 12 and 60 images, without a record of its images."""
    cases = pd.concat([draw_predictions(VAL, part="val"), draw_predictions(TEST)], ignore_index=True)
    return finished("group=study", "model=resnet34", cases=cases, train=TRAIN)


def studied_of(run):
    return read_studied(read_group(run.path.parent).conditions)


def figures(section):
    return [item for item in section.items if isinstance(item, FigureItem)]


def words_of(figure):
    return {text.get_text() for text in figure.figure.findobj(Text)}


def rows_of(section, slug="characteristics"):
    (table,) = (item for item in section.items if isinstance(item, TableItem) and item.slug == slug)
    return table.frame.set_index("")


def test_the_flow_goes_from_files_to_the_analysed_images(run):
    record(run, describe_images(TRAIN + VAL + TEST), FLOW | {"used": 104})
    section = image_section(studied_of(run))
    (figure,) = figures(section)
    words = words_of(figure)
    assert {"Files found: n = 210", "images: 105", "masks: 100", "others: 5", "Not read: n = 5"} <= words
    assert "Left out: n = 7" in words
    assert {"listed in data.exclude: 3", "in no part of the split: 2"} <= words
    assert {"Images in the study: n = 102", "Training: n = 30", "Validation: n = 12", "Test: n = 60"} <= words
    assert {"patients: 60", "benign: 20", "malignant: 20", "normal: 20", "with a result: 60"} <= words
    assert "Test: n = 60" in figure.alt
    assert "Left out: n = 7: listed in data.exclude: 3" in figure.alt
    assert not [item for item in section.items if isinstance(item, Note)]


def test_the_table_describes_each_part(run):
    images = describe_images(TRAIN + VAL + TEST)
    images.loc[images["id"] == TEST[0], "patient"] = pd.NA
    images.loc[images["id"].isin(TEST[1:4]), "duplicates"] = 7
    images.loc[images["id"] == TEST[1], "lesion_mm"] = 12.0
    images.loc[images["id"] == TEST[1], "birads"] = "4a"
    record(run, images)
    rows = rows_of(image_section(studied_of(run)))
    assert list(rows) == ["training", "validation", "test"]
    test = rows["test"]
    own = images.set_index("id").loc[TEST]
    assert test["images"] == "60"
    assert test["patients"] == "59 (1 images without one)"
    assert test["near-duplicate groups of two and more"] == "1 (3 images)"
    assert test["class: malignant"] == "20 (33%)"
    shares = 100 * own.loc[own["lesion_share"] > 0, "lesion_share"]
    assert (
        test["lesion, % of the image"]
        == f"{shares.median():.1f} ({shares.quantile(0.25):.1f} to {shares.quantile(0.75):.1f}); n = 40"
    )
    assert test["lesion, diameter in mm"] == "12.0 (12.0 to 12.0); n = 1"
    assert test["width, pixels"] == "500 (500 to 500)"
    assert test["text, calipers or frames"] == f"{int(own['marked'].sum())} ({own['marked'].mean():.0%})"
    assert test["device: A"] == f"{(own['device'] == 'A').sum()} ({(own['device'] == 'A').mean():.0%})"
    assert test["BI-RADS: 4a"] == "1 (2%)"
    assert test["BI-RADS: not known"] == "59 (98%)"
    assert rows["training"]["lesion, diameter in mm"] == "not known"
    assert "data set: busi" not in rows.index  # there is one only


def test_a_run_of_an_earlier_version_says_what_was_not_recorded(run):
    section = image_section(studied_of(run))
    (figure,) = figures(section)
    assert "Files in the folder: not recorded" in words_of(figure)
    assert {"Test: n = 60", "benign: 20", "patients: not recorded"} <= words_of(figure)
    rows = rows_of(section)
    assert rows["test"]["class: benign"] == "20 (33%)"
    assert rows["training"]["class: benign"] == NOT_RECORDED
    last = rows.iloc[-1]
    assert set(last) == {NOT_RECORDED}
    assert {"patients", "device", "width, pixels", "text, calipers or frames"} <= set(rows.index[-1].split("; "))
    (note,) = (item for item in section.items if isinstance(item, Note))
    assert "evaluate.py" in note.text


def run_that_tests(test, ids, finished, *options, order=int, method="grouped"):
    """Make a run of a study: it tests these images, validates on six others and is trained on the rest."""
    rest = [id_ for id_ in ids if id_ not in test]
    cases = pd.concat([draw_predictions(rest[:6], part="val"), draw_predictions(test)], ignore_index=True)
    groups = {id_: order(k) for k, id_ in enumerate(ids)}
    return finished(
        "group=study", "model=resnet34", *options, cases=cases, train=rest[6:], groups=groups, method=method
    )


def test_folds_are_one_diagram_in_which_each_image_is_tested_once(finished):
    ids = name_images(60)
    for fold in range(3):
        run = run_that_tests(
            ids[fold * 20 : fold * 20 + 20], ids, finished, f"data.split.fold={fold}", "data.split.folds=3"
        )
        record(run, describe_images(ids))
    (studied,) = studied_of(run)
    assert studied.is_cross_validated
    section = image_section([studied])
    words = words_of(figures(section)[0])
    assert {"Tested once each: n = 60", "3 folds, each with", "training images: 34", "validation images: 6"} <= words
    assert list(rows_of(section)) == ["all", *(f"test images of fold {number}" for number in (1, 2, 3))]
    assert figures(section)[0].caption.endswith("each image is tested by a network that was not trained on its group.")


def test_folds_that_divide_groups_do_not_claim_that_a_network_has_not_seen_the_group(finished):
    ids = name_images(60)
    for fold in range(3):
        options = (f"data.split.fold={fold}", "data.split.folds=3", "data.split.method=random")
        test = ids[fold * 20 : fold * 20 + 20]
        run = run_that_tests(test, ids, finished, *options, order=lambda k: k % 30, method="random")
    (studied,) = studied_of(run)
    assert studied.is_cross_validated
    caption = figures(image_section([studied]))[0].caption
    assert caption.endswith("a network that was not trained on it; of some, others of their group were in training.")


def test_splits_of_several_seeds_are_not_called_a_cross_validation(finished):
    ids = name_images(60)
    for seed in range(2):
        run = run_that_tests(ids[seed * 10 : seed * 10 + 30], ids, finished, f"data.split.seed={seed}")
    (studied,) = studied_of(run)
    assert not studied.is_cross_validated
    assert "first of 2 splits" in words_of(figures(image_section([studied]))[0])


def test_conditions_with_the_same_split_share_a_diagram_and_others_have_their_own(finished):
    cases = pd.concat([draw_predictions(VAL, part="val"), draw_predictions(TEST)], ignore_index=True)
    finished("group=study", "model=resnet34", cases=cases, train=TRAIN)
    finished("group=study", "model=resnet50", cases=cases, train=TRAIN)
    run = finished("group=study", "model=alexnet", cases=cases, train=TRAIN[1:])
    section = image_section(studied_of(run))
    assert [item.slug for item in figures(section)] == ["flow_1", "flow_2"]
    assert "resnet34, resnet50" in figures(section)[0].caption + figures(section)[1].caption


def test_a_test_image_without_a_result_is_named_in_the_flow(finished):
    cases = pd.concat([draw_predictions(VAL, part="val"), draw_predictions(TEST)], ignore_index=True)
    run = finished("group=study", "model=resnet34", cases=cases, train=TRAIN)
    pd.read_csv(run.cases).iloc[:-2].to_csv(run.cases, index=False)
    words = words_of(figures(image_section(studied_of(run)))[0])
    assert {"with a result: 58", "without a result: 2"} <= words


def test_the_images_of_several_sets_are_counted_by_set(run):
    ids = TRAIN + VAL + TEST
    record(run, describe_images(ids, dataset=["busi" if k % 2 else "breast" for k in range(len(ids))]))
    rows = rows_of(image_section(studied_of(run)))
    assert rows["test"]["data set: busi"] == "30 (50%)"


def test_damaged_images_are_named_by_the_checks_and_not_recorded_in_the_table(run):
    record(run, describe_images(TRAIN + VAL + TEST, width=-1))
    group = read_group(run.path.parent)
    texts = [problem.text for problem in find_problems(group.conditions) if problem.kind == "files"]
    assert [text for text in texts if "images.csv is damaged" in text and "is below 0" in text]
    assert not read_studied(group.conditions)[0].is_recorded


def test_an_image_that_is_not_described_leaves_the_table_to_the_cases(run):
    record(run, describe_images(TRAIN + VAL + TEST[1:]))
    (studied,) = studied_of(run)
    assert not studied.is_recorded
    assert characteristics(studied).set_index("")["test"]["class: benign"] == "20 (33%)"
    assert set(load_split(run.split).test) <= set(studied.images.index)


def test_an_ensemble_of_several_splits_has_the_images_of_its_runs(run):
    record(run, describe_images(TRAIN + VAL + TEST))
    (condition,) = read_group(run.path.parent).conditions
    (split,) = condition.splits.values()
    merged = make_named_split({"train": TRAIN + VAL, "val": [], "test": TEST}, "grouped", split.groups)
    folder = RunDir(run.path.with_name("ensemble_seeds"))
    folder.path.mkdir()
    ensemble = replace(
        condition, name="ensemble", runs=[folder], splits={folder.path.name: merged}, averaged=(run.path,)
    )
    own, averaged = read_studied([condition, ensemble])
    assert own.is_recorded
    assert averaged.is_recorded
    assert averaged.sets.flow == own.sets.flow
    assert {title: len(ids) for title, ids in averaged.parts.items()} == {"training": 42, "test": 60}
