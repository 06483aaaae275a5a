"""What is computed of columns of cases, by hand."""

import numpy as np
import pandas as pd

from bus_lightning.metrics.columns import cases_of_task, classes_of, dice_of, has_both_tasks, probabilities_of, ratio

CASES = pd.DataFrame(
    {"id": ["a", "b", "c"], "label": ["x", "y", "y"], "tp": [3, 0, 0], "fp": [1, 2, 0], "fn": [2, 5, 0], "tn": [9] * 3,
     "prob_x": [0.7, 0.2, 0.1], "prob_y": [0.3, 0.8, 0.9]}
)  # fmt: skip


def test_the_dice_of_an_image_is_of_its_own_counts():
    np.testing.assert_array_equal(dice_of(CASES), [6 / 9, 0, np.nan])


def test_a_ratio_of_nothing_is_undefined():
    np.testing.assert_array_equal(ratio(np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 0.0])), [0.5, np.nan, np.nan])


def test_joint_cases_have_the_columns_of_both_tasks():
    assert has_both_tasks(CASES)
    masks, classes = (cases_of_task(task, CASES) for task in ("segmentation", "classification"))
    assert list(masks) == ["id", "label", "tp", "fp", "fn", "tn"]
    assert list(classes) == ["id", "label", "prob_x", "prob_y"]
    assert not has_both_tasks(masks)
    assert not has_both_tasks(classes)
    assert (classes_of(masks), classes_of(classes)) == ([], ["x", "y"])
    assert probabilities_of(CASES).tolist() == [[0.7, 0.3], [0.2, 0.8], [0.1, 0.9]]
