"""Lesions are counted one by one: those that a predicted mask finds, and those that are not there."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.columns import LESIONS, cases_of_task
from bus_lightning.metrics.lesions import count_lesions
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.cases import read_cases


def mask(*boxes, shape=(100, 100)):
    """Draw rectangles: top, left, height, width."""
    drawn = np.zeros(shape, bool)
    for top, left, height, width in boxes:
        drawn[top : top + height, left : left + width] = True
    return drawn


def counts(predicted, truth):
    return tuple(count_lesions(predicted, truth.astype(np.uint8))[name] for name in LESIONS)


FIRST, SECOND = (10, 10, 20, 20), (60, 60, 20, 20)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ((FIRST, SECOND), (FIRST, SECOND), (2, 2, 2, 0)),
        ((FIRST,), (FIRST, SECOND), (2, 1, 1, 0)),
        ((FIRST, (80, 10, 5, 5)), (FIRST,), (1, 1, 1, 1)),
        ((), (FIRST,), (1, 0, 0, 0)),
        ((FIRST,), (), (0, 0, 0, 1)),
        ((), (), (0, 0, 0, 0)),
        (((10, 10, 20, 6),), (FIRST,), (1, 1, 0, 0)),  # IoU 0.3
        (((10, 10, 20, 1),), (FIRST,), (1, 0, 0, 1)),  # IoU 0.05
        (((10, 10, 20, 10),), (FIRST,), (1, 1, 1, 0)),  # IoU 0.5
    ],
)
def test_a_lesion_is_found_if_a_component_of_the_prediction_overlaps_it(predicted, truth, expected):
    assert counts(mask(*predicted), mask(*truth)) == expected


def test_one_component_finds_one_lesion_and_one_lesion_takes_one_component():
    two, bridge = mask((10, 10, 20, 20), (10, 35, 20, 20)), mask((10, 10, 20, 45))
    assert counts(bridge, two) == (2, 1, 0, 0)
    assert counts(two, bridge) == (1, 1, 0, 1)


def test_pairs_are_chosen_so_that_most_lesions_are_found():
    # The left component overlaps both lesions, the right one only the second: a greedy choice would find one.
    lesions, predicted = mask((0, 0, 10, 10), (0, 12, 10, 10)), mask((0, 6, 10, 11), (0, 19, 10, 3))
    assert counts(predicted, lesions)[:2] == (2, 2)


def test_diagonal_neighbours_are_one_lesion_and_specks_do_not_count():
    diagonal = mask((10, 10, 20, 20), (30, 30, 20, 20))
    assert counts(diagonal, diagonal) == (1, 1, 1, 0)
    large = (400, 400)
    speck = mask(FIRST, (300, 300, 3, 5), shape=large)  # 15 of 160,000 pixels: below 0.01%
    assert counts(speck, mask(FIRST, shape=large)) == (1, 1, 1, 0)
    assert counts(mask(FIRST, shape=large), speck) == (1, 1, 1, 0)
    small = mask(FIRST, (300, 300, 4, 4), shape=large)
    assert counts(small, mask(FIRST, shape=large)) == (1, 1, 1, 1)


def table(**columns):
    values = {"id": ["a", "b", "c"], "split": "test", "label": "benign", "tp": [5, 5, 0], "fp": 1, "fn": [1, 1, 0],
              "tn": 90, "lesions": [3, 1, 0], "lesions_found": [1, 1, 0], "lesions_well_found": [1, 0, 0],
              "false_lesions": [0, 1, 2]}  # fmt: skip
    return pd.DataFrame(values | columns)


def test_sensitivity_is_per_lesion_and_false_lesions_per_image():
    metrics = metrics_of(table())
    assert metrics["lesion_sensitivity"] == 2 / 4
    assert metrics["lesion_sensitivity_well"] == 1 / 4
    assert metrics["false_lesions_per_image"] == 3 / 3


def test_cases_of_an_earlier_version_have_no_metrics_of_lesions():
    assert "lesion_sensitivity" not in metrics_of(table().drop(columns=list(LESIONS)))


def test_lesions_that_an_earlier_version_did_not_count_are_not_taken_as_none():
    cases = pd.concat([table(), table().drop(columns=list(LESIONS))], ignore_index=True)
    metrics = metrics_of(cases)
    for key in ("lesion_sensitivity", "lesion_sensitivity_well", "false_lesions_per_image"):
        assert metrics[key] is None
        assert metrics["undefined"][key] == "lesions were not counted for some images"


def test_images_without_a_lesion_have_no_sensitivity_but_false_lesions():
    metrics = metrics_of(table()[2:])
    assert metrics["lesion_sensitivity"] is None
    assert metrics["undefined"]["lesion_sensitivity"] == "no image with a lesion"
    assert metrics["false_lesions_per_image"] == 2


def test_the_classes_of_a_joint_network_have_no_columns_of_lesions():
    cases = table().assign(prob_benign=0.5, prob_malignant=0.5)
    assert not set(LESIONS) & set(cases_of_task("classification", cases))
    assert set(LESIONS) <= set(cases_of_task("segmentation", cases))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"lesions_found": [4, 1, 0]}, "lesions_found: '4' is more than lesions"),
        ({"lesions_well_found": [2, 0, 0]}, "lesions_well_found: '2' is more than lesions_found"),
        ({"false_lesions": [0, -1, 0]}, "false_lesions: '-1' is below 0"),
        ({"lesions": [3, 1.5, 0]}, "is not a whole number"),
        ({"lesions": [3, None, 0]}, "an empty cell"),
    ],
)
def test_impossible_numbers_of_lesions_are_damage(tmp_path, columns, words):
    table(**columns).to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(DamagedError, match=words):
        read_cases(tmp_path / "cases.csv")


def test_cases_with_some_columns_of_lesions_are_damaged(tmp_path):
    table().drop(columns="false_lesions").to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(DamagedError, match="no column false_lesions"):
        read_cases(tmp_path / "cases.csv")
