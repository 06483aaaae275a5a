"""A report shows how Dice is distributed, and which lesions are found."""

import numpy as np
import pandas as pd
import pytest
from study_runs import name_images

from bus_lightning.metrics.columns import LESIONS
from bus_lightning.report.contents import _summaries
from bus_lightning.report.lesion_section import lesion_section
from bus_lightning.report.sections import FigureItem, Note, TableItem
from bus_lightning.statistics.conditions import of_task, read_group
from bus_lightning.statistics.intervals import weighted_median

IDS = name_images(60)


def segmented(dice, lesions=None, part="test"):
    """Write the counts of images with these Dice coefficients; None has no lesion."""
    rows = []
    for id_, value in zip(IDS, dice, strict=False):
        hit = 0 if value is None else round(100 * value)
        counts = {"tp": hit, "fp": 100 - hit, "fn": 0 if value is None else 100 - hit, "tn": 800}
        rows.append({"id": id_, "split": part, "label": id_.partition("/")[0]} | counts)
    return pd.DataFrame(rows).assign(**(lesions or {}))


def section_of(run):
    conditions = read_group(run.path.parent).conditions
    return lesion_section(conditions, _summaries(of_task(conditions, "segmentation"), None)["test"])


def table_of(section, slug):
    (table,) = (item for item in section.items if isinstance(item, TableItem) and item.slug == slug)
    return table.frame


DICE = [0.05, 0.0, *[0.5] * 9, *[0.9] * 9]


def test_the_distribution_of_dice_has_its_median_quartiles_and_the_share_of_missed_lesions(finished):
    run = finished("group=seg", "model=u2net_lite", cases=segmented([*DICE, None, None]))
    section = section_of(run)
    (row,) = table_of(section, "dice_quartiles").to_dict("records")
    assert row["images with a lesion"] == 20
    assert row["mean"] == f"{np.mean(DICE):.3f}"
    assert row["median"].startswith("0.500 (0.500 to 0.900)")
    assert row["quartiles"] == "0.500 to 0.900"
    share, _, interval = row["share below 0.1"].partition(" (")
    low, high = map(float, interval.rstrip(")").split(" to "))
    assert share == "0.100"
    assert 0 <= low < 0.1 < high < 0.4
    (figure,) = (item for item in section.items if isinstance(item, FigureItem))
    heights = {bar.get_x(): bar.get_height() for bar in figure.figure.axes[0].patches}
    assert sum(heights.values()) == pytest.approx(1)
    assert "median 0.50, quartiles 0.50 and 0.90, 10% below 0.1" in figure.alt


def test_a_weighted_median_is_the_median_of_the_repeated_values():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, 15) / 5
    weights = rng.integers(0, 4, (200, 15)).astype(float)
    expected = [np.median(np.repeat(values, row.astype(int))) for row in weights]
    np.testing.assert_allclose(weighted_median(values, weights), expected)


def test_lesions_found_and_false_lesions_are_tabulated_with_those_of_images_with_several(finished):
    counts = dict(zip(LESIONS, ([2, *[1] * 19], [1, *[1] * 19], [0, *[1] * 19], [0, 3, *[0] * 18]), strict=True))
    run = finished("group=seg", "model=u2net_lite", cases=segmented(DICE, counts))
    (row,) = table_of(section_of(run), "lesion_detection").to_dict("records")
    assert row["lesions"] == 21
    assert row["lesions found (IoU at least 0.1)"].startswith(f"{20 / 21:.3f} (")
    assert row["lesions found (IoU at least 0.5)"].startswith(f"{19 / 21:.3f} (")
    assert row["false lesions per image"].startswith(f"{3 / 20:.3f} (")
    assert row["images with several lesions"] == 1
    assert row["their lesions found"] == "1 of 2"


def test_runs_of_an_earlier_version_have_no_single_lesions_and_are_named(finished):
    run = finished("group=seg", "model=u2net_lite", cases=segmented(DICE))
    section = section_of(run)
    assert not [item for item in section.items if isinstance(item, TableItem) and item.slug == "lesion_detection"]
    (note,) = (item for item in section.items if isinstance(item, Note))
    assert "u2net_lite" in note.text
    assert "evaluate.py" in note.text


def test_classifiers_have_no_section_of_lesions(finished):
    assert section_of(finished("group=seg", "model=resnet34")) is None
    only_normal = segmented([None] * 5)
    assert section_of(finished("group=none", "model=u2net_lite", cases=only_normal)) is None
