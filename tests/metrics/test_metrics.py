"""Metrics against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.metrics.per_case import classification_metrics, metrics_of, segmentation_metrics
from bus_lightning.metrics.ranking import auroc, auroc_and_average_precision

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
    metrics = metrics_of(cases([[46, 0, 0], [0, 19, 1], [1, 0, 12]]))
    assert metrics["accuracy"] == pytest.approx(77 / 79)
    assert metrics["precision_macro"] == pytest.approx(0.9673, abs=5e-5)
    assert metrics["recall_macro"] == pytest.approx(0.9577, abs=5e-5)
    assert metrics["f1_macro"] == pytest.approx(0.9622, abs=5e-5)


def test_the_papers_alexnet_row_follows_and_a_class_never_predicted_has_precision_zero():
    metrics = metrics_of(cases([[42, 4, 0], [16, 4, 0], [13, 0, 0]]))
    assert metrics["accuracy"] == pytest.approx(46 / 79)
    assert metrics["precision_macro"] == pytest.approx(0.3638, abs=5e-5)
    assert metrics["recall_macro"] == pytest.approx(0.3710, abs=5e-5)
    assert metrics["f1_macro"] == pytest.approx(0.3346, abs=5e-5)


def test_accuracy_is_micro_and_balanced_accuracy_is_the_mean_of_recalls():
    metrics = metrics_of(cases([[8, 0, 0], [1, 1, 0], [2, 0, 0]]))
    assert metrics["accuracy"] == pytest.approx(9 / 12)
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)


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
    assert metrics_of(table)["auroc_macro"] == pytest.approx((0.75 + 1 + 1) / 3)


def test_a_class_without_cases_makes_macro_scores_null_and_leaves_accuracy():
    metrics = metrics_of(cases([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    assert all(metrics[name] is None for name in ("f1_macro", "auroc_macro", "precision_macro", "balanced_accuracy"))


def test_pooled_and_per_image_overlap_are_different_metrics():
    table = pd.DataFrame({"tp": [10, 0], "fp": [0, 30], "fn": [0, 10], "tn": [90, 60]})
    metrics = metrics_of(table)
    assert metrics["iou_pooled"] == pytest.approx(10 / 50)
    assert metrics["dice_pooled"] == pytest.approx(20 / 60)
    assert metrics["iou_image"] == pytest.approx((1 + 0) / 2)
    assert metrics["dice_image"] == pytest.approx(0.5)
    assert metrics["accuracy"] == pytest.approx(160 / 200)
    assert metrics["precision"] == pytest.approx(10 / 40)
    assert metrics["recall"] == pytest.approx(10 / 20)


def test_normals_count_as_false_alarms_and_not_in_the_mean_over_lesions():
    table = pd.DataFrame({"tp": [8, 0, 0, 0], "fp": [0, 5, 0, 0], "fn": [0, 0, 0, 0], "tn": [2, 5, 10, 10]})
    metrics = metrics_of(table)
    assert metrics["dice_image"] == 1
    assert metrics["false_alarm_rate"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("columns", [["label", "prob_a", "prob_b"], ["label", "tp", "fp", "fn", "tn"]])
def test_a_part_without_images_has_null_metrics(columns):
    metrics = metrics_of(pd.DataFrame(columns=columns))
    reasons = metrics.pop("undefined")
    assert metrics.pop("n") == 0
    counts = {name: metrics.pop(name) for name in ("tp", "fp", "fn", "tn") if name in metrics}
    assert set(counts.values()) <= {0}
    assert set(metrics.values()) == {None}
    assert reasons == dict.fromkeys(metrics, "no images")


def test_majority_accuracy_is_the_share_of_the_largest_class():
    assert majority_accuracy(cases([[6, 0, 0], [0, 3, 0], [0, 0, 1]])) == pytest.approx(0.6)


@pytest.fixture(scope="module")
def answers():
    """Answers to 90 cases of three classes, with many ties, and three weightings of them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    probabilities = rng.dirichlet([1, 1, 1], 90).round(1) + 0.01
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = np.stack([np.ones(90), rng.integers(0, 4, 90), rng.random(90)]).astype(float)
    return labels, probabilities, weights


def test_every_weighting_gives_what_scikit_learn_gives(answers):
    labels, probabilities, weights = answers
    metrics = classification_metrics(labels, probabilities, weights, CLASSES)
    predicted = probabilities.argmax(axis=1)
    one_hot = np.eye(3)[labels]
    for draw, weight in enumerate(weights):
        options = {"sample_weight": weight}
        judged = {
            "accuracy": sklearn_metrics.accuracy_score(labels, predicted, **options),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predicted, **options),
            "log_loss": sklearn_metrics.log_loss(labels, probabilities, **options),
            "brier": np.average(((probabilities - one_hot) ** 2).sum(axis=1), weights=weight),
            "auroc_macro": sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr", **options),
            "average_precision_macro": sklearn_metrics.average_precision_score(one_hot, probabilities, **options),
            "specificity_normal": sklearn_metrics.recall_score(labels == 2, predicted == 2, pos_label=0, **options),
            "npv_normal": sklearn_metrics.precision_score(labels == 2, predicted == 2, pos_label=0, **options),
        }
        for name in ("precision", "recall", "f1"):
            score = getattr(sklearn_metrics, f"{name}_score")
            judged[f"{name}_macro"] = score(labels, predicted, average="macro", **options)
            judged[f"{name}_malignant"] = score(labels, predicted, average=None, **options)[1]
        assert {name: metrics[name][draw] for name in judged} == pytest.approx(judged)


def test_calibration_error_is_that_of_torchmetrics(answers):
    import torch

    labels, probabilities, weights = answers
    error = classification_metrics(labels, probabilities, weights[:1], CLASSES)["calibration_error"][0]
    judged = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 3, n_bins=10, norm="l1")
    assert error == pytest.approx(float(judged), abs=1e-6)


def test_malignant_against_benign_reads_the_more_probable_of_the_two():
    table = pd.DataFrame(
        {
            "label": ["benign", "benign", "malignant", "malignant", "normal"],
            "prob_benign": [0.3, 0.2, 0.1, 0.3, 0.0],
            "prob_malignant": [0.1, 0.3, 0.2, 0.2, 1.0],
            "prob_normal": [0.6, 0.5, 0.7, 0.5, 0.0],
        }
    )
    metrics = metrics_of(table)
    assert metrics["malignant_vs_benign_accuracy"] == 0.5
    assert metrics["malignant_vs_benign_sensitivity"] == 0.5
    assert metrics["malignant_vs_benign_specificity"] == 0.5
    # Shares of malignant: 1/4 and 3/5 for benign, 2/3 and 2/5 for malignant; three of four pairs are in order.
    assert metrics["malignant_vs_benign_auroc"] == 0.75


def test_a_class_that_is_never_answered_has_no_precision_and_says_so():
    metrics = metrics_of(cases([[42, 4, 0], [16, 4, 0], [13, 0, 0]]))
    assert metrics["precision_normal"] is None
    assert metrics["undefined"] == {"precision_normal": "no image was called normal"}
    assert metrics["recall_normal"] == 0


def test_a_draw_without_a_class_has_no_macro_score_and_the_others_keep_theirs(answers):
    labels, probabilities, _ = answers
    weights = np.stack([np.ones(90), (labels != 1).astype(float)])
    metrics = classification_metrics(labels, probabilities, weights, CLASSES)
    for name in ("auroc_macro", "f1_macro", "recall_malignant"):
        assert np.isfinite(metrics[name][0])
        assert np.isnan(metrics[name][1])
    assert np.isfinite(metrics["accuracy"]).all()


def test_ranking_without_positive_or_without_any_case_is_undefined():
    weights = np.ones((2, 3))
    assert np.isnan(auroc(np.zeros(3, bool), np.arange(3.0), weights)).all()
    assert np.isnan(auroc_and_average_precision(np.zeros(3, bool), np.arange(3.0), weights)[1]).all()
    assert np.isnan(auroc(np.zeros(0, bool), np.zeros(0), np.ones((2, 0)))).all()


def test_a_missed_lesion_costs_in_every_mean_over_lesions():
    table = pd.DataFrame(
        {"tp": [10, 0], "fp": [0, 0], "fn": [0, 10], "tn": [90, 90], "hd95": [0.0, 100.0], "surface_dice": [1.0, 0.0]}
    )
    metrics = metrics_of(table)
    halves = ("precision_image", "recall_image", "iou_image", "dice_image", "surface_dice", "missed_rate")
    assert {name: metrics[name] for name in halves} == dict.fromkeys(halves, 0.5)
    assert metrics["hd95"] == 50
    assert metrics["undefined"]["false_alarm_rate"] == "no image without a lesion"


def test_false_alarms_on_normals_have_a_rate_and_an_area():
    table = pd.DataFrame({"tp": [0, 0], "fp": [20, 0], "fn": [0, 0], "tn": [80, 100]})
    metrics = metrics_of(table)
    assert (metrics["false_alarm_rate"], metrics["false_alarm_area"]) == (0.5, 0.1)
    assert metrics["dice_image"] is None
    assert metrics["undefined"]["dice_image"] == "no image with a lesion"


def test_a_weight_of_two_counts_like_two_equal_images():
    table = pd.DataFrame({"tp": [5, 3, 0], "fp": [1, 9, 4], "fn": [2, 4, 0], "tn": [50, 40, 60]})
    weighted = segmentation_metrics(table, np.array([[2.0, 1.0, 0.0]]))
    repeated = segmentation_metrics(table.iloc[[0, 0, 1]], np.ones((1, 3)))
    assert {name: value[0] for name, value in weighted.items()} == pytest.approx(
        {name: value[0] for name, value in repeated.items()}, nan_ok=True
    )


def test_probabilities_that_are_no_numbers_leave_every_metric_undefined_with_the_reason():
    table = cases([[3, 0, 0], [0, 2, 0], [0, 0, 1]])
    table.loc[0, "prob_benign"] = float("nan")
    metrics = metrics_of(table)
    assert metrics["accuracy"] is None
    assert set(metrics["undefined"].values()) == {"some probabilities are not finite"}


def test_a_missing_distance_does_not_count_as_a_perfect_one():
    table = pd.DataFrame({"tp": [5, 5], "fp": [1, 1], "fn": [0, 0], "tn": [9, 9], "hd95": [1.0, float("nan")]})
    metrics = metrics_of(table)
    assert metrics["hd95"] is None
    assert metrics["undefined"]["hd95"] == "hd95 is missing for some images"


def test_the_reason_knows_classes_with_an_underscore():
    table = pd.DataFrame({"label": ["a_cyst", "b"], "prob_a_cyst": [0.1, 0.2], "prob_b": [0.9, 0.8]})
    assert metrics_of(table)["undefined"]["precision_a_cyst"] == "no image was called a_cyst"
