"""A report compares test images by what else they differ in: marks, size of the lesion, device, data set."""

import numpy as np
import pandas as pd
import pytest
from study_runs import describe_images, draw_predictions, name_images, record

from bus_lightning.report.confounder_section import EVERY, confounder_section, find_strata
from bus_lightning.report.lesion_sizes import lesion_sizes
from bus_lightning.report.sections import FigureItem, Note, TableItem
from bus_lightning.report.studied_images import read_studied
from bus_lightning.statistics.conditions import read_group

TRAIN, TEST = name_images(9, 500), name_images(90, 900)


@pytest.fixture
def make(finished):
    """Write a finished classifier whose test images are described; those with marks are predicted well."""

    def write(described=True, model="resnet34", **columns):
        images = describe_images(TRAIN + TEST, **columns)
        marked = set(images.loc[images["marked"] == 1, "id"])
        tables = [
            draw_predictions([id_ for id_ in TEST if (id_ in marked) == has_marks], sure=sure)
            for has_marks, sure in ((True, 5.0), (False, 0.0))
        ]
        run = finished("group=study", f"model={model}", cases=pd.concat(tables, ignore_index=True), train=TRAIN)
        return record(run, images) if described else run

    return write


def section_of(run):
    conditions = read_group(run.path.parent).conditions
    return confounder_section(conditions, read_studied(conditions))


def rows_of(section, slug="confounders_classification"):
    (table,) = (item for item in section.items if isinstance(item, TableItem) and item.slug == slug)
    return table.frame.set_index(["by", "images"])


def value_of(cell):
    return float(cell.partition(" ")[0])


def test_images_with_and_without_marks_are_compared(make):
    section = section_of(make())
    rows = rows_of(section)
    without, with_marks = (rows.loc[("text, calipers or frames", name)] for name in ("without", "with"))
    assert value_of(with_marks["accuracy"]) > 0.8 > 0.5 > value_of(without["accuracy"])
    assert with_marks["n (accuracy)"] == "45 (45 groups)"
    assert without["minus the first (accuracy)"] == "-"
    difference, _, interval = with_marks["minus the first (accuracy)"].partition(" (")
    assert float(difference) == pytest.approx(
        value_of(with_marks["accuracy"]) - value_of(without["accuracy"]), abs=0.0011
    )
    assert float(interval.partition(" ")[0]) > 0  # more than chance
    assert rows.loc[("all", "all test images"), "malignant"] == "33%"


def test_the_figure_has_a_row_for_each_stratum_and_its_number_of_images(make):
    (figure,) = (item for item in section_of(make()).items if isinstance(item, FigureItem))
    labels = {text.get_text() for text in figure.figure.axes[0].get_yticklabels()}
    assert {"all test images\nn = 90", "without\nn = 45", "smallest third\nn = 20", "A\nn = 60", "B\nn = 30"} <= labels
    assert "resnet34, accuracy, text, calipers or frames: with: " in figure.alt
    assert len(figure.figure.axes) == 2  # accuracy, and malignant against benign


def test_strata_are_of_what_is_known_and_cover_the_images():
    images = describe_images(TEST).set_index("id")
    strata = find_strata(images)
    assert strata[EVERY] == set(TEST)
    by_factor = {}
    for (factor, _), ids in strata.items():
        by_factor.setdefault(factor, []).append(ids)
    lesions = set(images.index[images["lesion_share"] > 0])
    for factor, groups in by_factor.items():
        assert sum(map(len, groups)) == len(set().union(*groups))
        assert set().union(*groups) == (lesions if factor == "lesion, share of the image" else set(TEST))
    sizes = [images.loc[sorted(ids), "lesion_share"] for ids in by_factor["lesion, share of the image"]]
    assert [len(size) for size in sizes] == [20, 20, 20]
    assert sizes[0].max() <= sizes[1].min() <= sizes[1].max() <= sizes[2].min()
    assert "data set" not in by_factor
    assert "device" not in {factor for factor, _ in find_strata(images.assign(device="unknown"))}
    several = find_strata(images.assign(dataset=["busi"] * 45 + ["breast"] * 45))
    assert len(several["data set", "breast"]) == 45


def test_a_device_that_is_not_known_is_no_stratum():
    images = describe_images(TEST, device=["A"] * 30 + ["B"] * 30 + ["unknown"] * 30).set_index("id")
    assert {name for factor, name in find_strata(images) if factor == "device"} == {"A", "B"}


def test_few_images_have_no_value(make):
    section = section_of(make(device=["rare"] * (len(TRAIN) + 5) + ["A"] * 85))
    row = rows_of(section).loc[("device", "rare")]
    assert row["accuracy"] == "fewer than 10 images"
    assert row["n (accuracy)"] == "5 (5 groups)"


def test_classifiers_of_an_earlier_version_have_no_section(make):
    assert section_of(make(described=False)) is None


def test_segmenters_of_an_earlier_version_are_compared_by_the_size_that_their_cases_have(finished):
    cases = pd.DataFrame({"id": TEST, "split": "test", "label": [id_.partition("/")[0] for id_ in TEST]})
    lesion = (cases["label"] != "normal").astype(int)
    cases = cases.assign(tp=lesion * np.arange(10, 100), fp=5, fn=lesion * 5, tn=1000)
    section = section_of(finished("group=study", "model=u2net_lite", cases=cases, train=TRAIN))
    rows = rows_of(section, "confounders_segmentation")
    assert {by for by, _ in rows.index} == {"all", "lesion, share of the image"}
    third = next(name for _, name in rows.index if name.startswith("largest third"))
    dice = rows["Dice, mean of lesions"]
    assert value_of(dice["lesion, share of the image", third]) > value_of(dice["all", "all test images"])
    (note,) = (item for item in section.items if isinstance(item, Note))
    assert "1 of 1 conditions" in note.text


def test_the_size_of_recorded_lesions_needs_no_data_folder(make):
    run = make()
    ((shares, long_axes),) = lesion_sizes(read_group(run.path.parent).conditions).values()
    recorded = pd.read_csv(run.images).set_index("id")["lesion_share"]
    assert set(TEST) <= set(shares.index)
    assert shares[TEST].to_list() == pytest.approx(recorded[TEST].to_list())
    assert long_axes.empty


@pytest.mark.parametrize("classes", [["unlabelled"], ["benign", "cancer", "normal"]])
def test_the_share_of_malignant_images_is_not_given_where_no_class_says_it(finished, classes):
    cases = pd.DataFrame({"id": TEST, "split": "test", "label": [classes[k % len(classes)] for k in range(90)]})
    cases = cases.assign(tp=np.arange(10, 100), fp=5, fn=5, tn=1000)
    options = ("group=study", "model=u2net_lite", f"data.classes=[{','.join(classes)}]")
    section = section_of(finished(*options, cases=cases, train=TRAIN))
    assert set(rows_of(section, "confounders_segmentation")["malignant"]) == {"-"}


def test_devices_that_have_no_row_are_not_left_out_without_a_word(make):
    devices = [f"device {k % 8}" for k in range(len(TRAIN) + len(TEST))]
    (table,) = (item for item in section_of(make(device=devices)).items if isinstance(item, TableItem))
    assert (table.frame["by"] == "device").sum() == 6
    assert "Devices: at most the 6 with the most images" in table.caption
