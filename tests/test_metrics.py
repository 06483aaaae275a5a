"""Metrics against values worked out by hand."""

import pandas as pd
import pytest

from bus_lightning.evaluation.metrics import classification_metrics, metrics_of, segmentation_metrics
from bus_lightning.evaluation.table import majority_accuracy

CLASSES = ["benign", "malignant", "normal"]


def cases(confusion):
    """Cases with certain answers whose confusion matrix (truth in rows) is the one given."""
    rows = []
    for truth, counts in zip(CLASSES, confusion, strict=True):
        for answer, count in zip(CLASSES, counts, strict=True):
            row = {"id": "x", "label": truth, **{f"prob_{name}": float(name == answer) for name in CLASSES}}
            rows += [row] * count
    return pd.DataFrame(rows)


def test_the_papers_resnet50_row_follows_from_its_confusion_matrix():
    found = classification_metrics(cases([[46, 0, 0], [0, 19, 1], [1, 0, 12]]))
    assert found["accuracy"] == pytest.approx(77 / 79)
    assert found["precision_macro"] == pytest.approx(0.9673, abs=5e-5)
    assert found["recall_macro"] == pytest.approx(0.9577, abs=5e-5)
    assert found["f1_macro"] == pytest.approx(0.9622, abs=5e-5)


def test_the_papers_alexnet_row_follows_and_a_class_never_predicted_has_precision_zero():
    found = classification_metrics(cases([[42, 4, 0], [16, 4, 0], [13, 0, 0]]))
    assert found["accuracy"] == pytest.approx(46 / 79)
    assert found["precision_macro"] == pytest.approx(0.3638, abs=5e-5)
    assert found["recall_macro"] == pytest.approx(0.3710, abs=5e-5)
    assert found["f1_macro"] == pytest.approx(0.3346, abs=5e-5)


def test_accuracy_is_micro_and_balanced_accuracy_is_the_mean_of_recalls():
    found = classification_metrics(cases([[8, 0, 0], [1, 1, 0], [2, 0, 0]]))
    assert found["accuracy"] == pytest.approx(9 / 12)
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_auc_is_one_against_rest_and_macro():
    table = pd.DataFrame(
        {
            "label": ["benign", "benign", "malignant", "normal"],
            "prob_benign": [0.7, 0.3, 0.4, 0.1],
            "prob_malignant": [0.2, 0.4, 0.5, 0.3],
            "prob_normal": [0.1, 0.3, 0.1, 0.6],
        }
    )
    # benign: 3 of 4 pairs in order; malignant: all of 3; normal: all of 3.
    assert classification_metrics(table)["auroc_macro"] == pytest.approx((0.75 + 1 + 1) / 3)


def test_a_class_without_cases_makes_macro_scores_null_and_leaves_accuracy():
    found = classification_metrics(cases([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert all(found[name] is None for name in ("f1_macro", "auroc_macro", "precision_macro", "balanced_accuracy"))


def test_pooled_and_per_image_overlap_are_told_apart():
    table = pd.DataFrame({"tp": [10, 0], "fp": [0, 30], "fn": [0, 10], "tn": [90, 60]})
    found = segmentation_metrics(table)
    assert found["iou_pooled"] == pytest.approx(10 / 50)
    assert found["dice_pooled"] == pytest.approx(20 / 60)
    assert found["iou_image"] == pytest.approx((1 + 0) / 2)
    assert found["dice_image"] == pytest.approx(0.5)
    assert found["accuracy"] == pytest.approx(160 / 200)
    assert found["precision"] == pytest.approx(10 / 40)
    assert found["recall"] == pytest.approx(10 / 20)


def test_normals_count_as_false_alarms_and_not_in_the_mean_over_lesions():
    table = pd.DataFrame({"tp": [8, 0, 0, 0], "fp": [0, 5, 0, 0], "fn": [0, 0, 0, 0], "tn": [2, 5, 10, 10]})
    found = segmentation_metrics(table)
    assert found["dice_image"] == 1
    assert found["false_alarm_rate"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("columns", [["label", "prob_a", "prob_b"], ["label", "tp", "fp", "fn", "tn"]])
def test_a_part_without_images_has_null_metrics(columns):
    found = metrics_of(pd.DataFrame(columns=columns))
    assert found.pop("n") == 0
    assert set(found.values()) == {None}


def test_majority_accuracy_is_the_share_of_the_largest_class():
    assert majority_accuracy(cases([[6, 0, 0], [0, 3, 0], [0, 0, 1]])) == pytest.approx(0.6)
