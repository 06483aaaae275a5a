"""Every metric against values worked out by hand, and against scikit-learn and torchmetrics where these are odd."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import binary_jaccard_index, multiclass_calibration_error

from bus_lightning.export.calibration import find_temperature, tempered
from bus_lightning.metrics.catalogue import CLASSIFICATION, LOWER_IS_BETTER, TITLES, heading_of, title_of
from bus_lightning.metrics.classification import clipped
from bus_lightning.metrics.per_case import classification_metrics, metrics_of
from bus_lightning.statistics.comparisons import _verdict
from bus_lightning.statistics.intervals import percentile_interval, two_sided_p, wilson
from bus_lightning.statistics.thresholds import choose_threshold

CLASSES = ["benign", "malignant", "normal"]


def table(labels, probabilities, classes=CLASSES):
    columns = {f"prob_{name}": [row[k] for row in probabilities] for k, name in enumerate(classes)}
    return pd.DataFrame({"label": labels} | columns)


def certain(confusion, classes=CLASSES):
    """Answers without doubt, whose confusion matrix (truth in rows) is the one given."""
    labels, answers = [], []
    for truth, row in enumerate(confusion):
        for answer, count in enumerate(row):
            labels += [classes[truth]] * count
            answers += [np.eye(len(classes))[answer].tolist()] * count
    return table(labels, answers, classes)


# Classification.


def test_uneven_counts_of_three_classes_by_hand():
    # benign: 6 of 8 found; malignant: 1 of 3; normal: 1 of 1. Called benign 7, malignant 3, normal 2.
    metrics = metrics_of(certain([[6, 2, 0], [1, 1, 1], [0, 0, 1]]))
    by_hand = {
        "accuracy": 8 / 12, "balanced_accuracy": (6 / 8 + 1 / 3 + 1) / 3,
        "precision_benign": 6 / 7, "precision_malignant": 1 / 3, "precision_normal": 1 / 2,
        "precision_macro": (6 / 7 + 1 / 3 + 1 / 2) / 3,
        "recall_benign": 6 / 8, "recall_malignant": 1 / 3, "recall_normal": 1,
        "recall_macro": (6 / 8 + 1 / 3 + 1) / 3,
        "f1_benign": 12 / 15, "f1_malignant": 2 / 6, "f1_normal": 2 / 3, "f1_macro": (12 / 15 + 2 / 6 + 2 / 3) / 3,
        "specificity_benign": 3 / 4, "specificity_malignant": 7 / 9, "specificity_normal": 10 / 11,
        "specificity_macro": (3 / 4 + 7 / 9 + 10 / 11) / 3,
        "npv_benign": 3 / 5, "npv_malignant": 7 / 9, "npv_normal": 1, "npv_macro": (3 / 5 + 7 / 9 + 1) / 3,
        "brier": 4 * 2 / 12, "log_loss": (4 * -math.log(np.finfo(float).eps)) / 12, "calibration_error": 4 / 12,
        "auroc_benign": (1 + 6 / 8 - 1 / 4) / 2, "auroc_normal": (1 + 1 - 1 / 11) / 2,
        # The malignant image that was called normal has neither of the two: it is read as benign.
        "malignant_vs_benign_accuracy": 7 / 11, "malignant_vs_benign_specificity": 6 / 8,
        "malignant_vs_benign_sensitivity": 1 / 3,
    }  # fmt: skip
    assert {name: metrics[name] for name in by_hand} == pytest.approx(by_hand)
    assert metrics["n"] == 12
    assert not metrics["undefined"]


def test_average_precision_and_auc_by_hand():
    # Of malignant, by falling score: yes, no, yes, no. Precision 1 and 2/3; three of four pairs are in order.
    rows = [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]]
    metrics = metrics_of(table(["malignant", "benign", "malignant", "benign"], rows, CLASSES[:2]))
    assert metrics["average_precision_malignant"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["auroc_malignant"] == metrics["auroc_benign"] == metrics["malignant_vs_benign_auroc"] == 0.75


def test_a_class_that_is_always_given_counts_0_in_the_mean_of_npv():
    metrics = metrics_of(certain([[3, 0, 0], [2, 0, 0], [1, 0, 0]]))
    assert metrics["npv_benign"] is None
    assert metrics["undefined"]["npv_benign"] == "every image was called benign"
    assert metrics["npv_macro"] == pytest.approx((0 + 4 / 6 + 5 / 6) / 3)
    assert metrics["precision_macro"] == pytest.approx(3 / 6 / 3)


def test_gaps_of_bins_are_added_by_their_size_and_those_within_a_bin_cancel_out():
    def error(*answers):
        rows = [[p, (1 - p) / 2, (1 - p) / 2] for p, _ in answers]
        return metrics_of(table(["benign" if right else "normal" for _, right in answers], rows))["calibration_error"]

    assert error((0.62, True), (0.92, False)) == pytest.approx((0.38 + 0.92) / 2)  # not their difference
    assert error((0.62, True), (0.68, False)) == pytest.approx(abs(-0.38 + 0.68) / 2)
    assert error((0.62, True), (0.66, True), (0.92, False)) == pytest.approx((0.38 + 0.34 + 0.92) / 3)
    assert error((0.6, True), (0.59, False)) == pytest.approx((0.4 + 0.59) / 2)  # a bin begins with its lower end
    assert error((1.0, False), (0.95, True)) == pytest.approx((1 - 0.05) / 2)  # the last one holds 1 as well


@pytest.mark.parametrize("bins", ["few", "many"])
def test_calibration_error_is_that_of_torchmetrics_where_gaps_have_both_signs(bins):
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([0.5] * 3 if bins == "few" else [2] * 3, 200)
    labels = np.where(rng.random(200) < 0.5, probabilities.argmax(axis=1), rng.integers(0, 3, 200))
    error = classification_metrics(labels, probabilities, np.ones((1, 200)))["calibration_error"][0]
    judged = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 3, n_bins=10)
    assert error == pytest.approx(float(judged), abs=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 3])
def test_log_loss_is_that_of_scikit_learn_with_probabilities_of_0_and_1(dtype, classes):
    tiny = np.finfo(dtype).tiny
    rows = [[0, 1, 0], [1, 0, 0], [0.25, 0.75, 0], [tiny, 1, 0], [0.5, 0.5, 0], [1, 0, 0], [1e-12, 1, 0]]
    probabilities = np.array(rows, dtype)[:, :classes]
    labels = np.array([0, 0, 1, 0, 1, 1, 0])
    weights = np.array([[1.0] * 7, [1, 0, 2, 1, 0, 3, 1]])
    losses = classification_metrics(labels, probabilities, weights)["log_loss"]
    for draw, weight in zip(losses, weights, strict=True):
        judged = sklearn_metrics.log_loss(labels, probabilities, sample_weight=weight, labels=range(classes))
        assert draw == pytest.approx(judged, rel=1e-6)
    if dtype == "float64":
        names = CLASSES[:classes]
        assert metrics_of(table([names[label] for label in labels], probabilities.tolist(), names))[
            "log_loss"
        ] == pytest.approx(losses[0])


def test_clipped_probabilities_keep_their_dtype_and_stay_within_its_epsilon():
    for dtype in (np.float16, np.float32, np.float64):
        epsilon, result = np.finfo(dtype).eps, clipped(np.array([0, 0.5, 1], dtype))
        assert (result.dtype, result.tolist()) == (dtype, [epsilon, 0.5, 1 - epsilon])


def test_two_classes_one_image_ties_and_a_missing_class_are_as_scikit_learn_has_them():
    rng = np.random.default_rng(1)
    for number in (1, 2, 5, 40):
        share = rng.integers(0, 5, number) / 4  # with ties, 0 and 1
        probabilities, labels = np.stack([1 - share, share], axis=1), rng.integers(0, 2, number)
        metrics = {k: v[0] for k, v in classification_metrics(labels, probabilities, np.ones((1, number))).items()}
        answers = probabilities.argmax(axis=1)
        assert metrics["accuracy"] == sklearn_metrics.accuracy_score(labels, answers)
        assert metrics["brier"] == pytest.approx(
            sklearn_metrics.brier_score_loss(labels, share, scale_by_half=False, pos_label=1)
        )
        assert metrics["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, probabilities, labels=[0, 1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are missing
            judged = {
                "auroc_1": sklearn_metrics.roc_auc_score(labels, share),
                "auroc_0": sklearn_metrics.roc_auc_score(1 - labels, 1 - share),
                "recall_1": sklearn_metrics.recall_score(labels, answers, zero_division=np.nan),
                "precision_1": sklearn_metrics.precision_score(labels, answers, zero_division=np.nan),
                "f1_1": sklearn_metrics.f1_score(labels, answers, zero_division=np.nan),
            }
        assert {name: metrics[name] for name in judged} == pytest.approx(judged, nan_ok=True)
        assert np.isnan(metrics["auroc_macro"]) == (len(set(labels)) == 1)


def test_a_single_image_has_the_metrics_that_one_image_defines():
    metrics = metrics_of(table(["malignant"], [[0.2, 0.7, 0.1]]))
    assert (metrics["accuracy"], metrics["recall_malignant"], metrics["npv_benign"]) == (1, 1, 1)
    assert metrics["log_loss"] == pytest.approx(-math.log(0.7))
    assert metrics["brier"] == pytest.approx(0.04 + 0.09 + 0.01)
    assert metrics["calibration_error"] == pytest.approx(0.3)
    assert metrics["auroc_macro"] is metrics["balanced_accuracy"] is metrics["recall_benign"] is None


# Segmentation: one lesion found in part, one missed, one false alarm, one normal image that was left alone.
PIXELS = pd.DataFrame(
    {"tp": [6, 0, 0, 0], "fp": [2, 5, 20, 0], "fn": [2, 5, 0, 0], "tn": [90, 90, 80, 100],
     "hd95": [10, 100, np.nan, np.nan], "surface_dice": [0.5, 0, np.nan, np.nan]}
)  # fmt: skip


def test_every_score_of_pixels_by_hand():
    metrics = metrics_of(PIXELS)
    by_hand = {
        "n": 4, "undefined": {}, "tp": 6, "fp": 27, "fn": 7, "tn": 360,
        "accuracy": 366 / 400, "precision": 6 / 33, "recall": 6 / 13, "specificity": 360 / 387,
        "iou_pooled": 6 / 40, "dice_pooled": 12 / 46,
        "accuracy_image": (0.96 + 0.9 + 0.8 + 1) / 4, "specificity_image": (90 / 92 + 90 / 95 + 0.8 + 1) / 4,
        "precision_image": (6 / 8) / 2, "recall_image": (6 / 8) / 2, "iou_image": (6 / 10) / 2,
        "dice_image": (12 / 16) / 2, "hd95": 55, "surface_dice": 0.25, "missed_rate": 0.5, "false_alarm_rate": 0.5,
        "false_alarm_area": (20 / 100) / 2,
    }  # fmt: skip
    assert metrics.pop("undefined") == by_hand.pop("undefined")
    assert metrics == pytest.approx(by_hand)


@pytest.mark.parametrize("alarm", [0, 1, 99])
def test_false_alarms_on_normals_change_no_mean_of_lesions(alarm):
    means = ("iou_image", "dice_image", "precision_image", "recall_image", "missed_rate", "hd95", "surface_dice")
    changed = PIXELS.assign(fp=[2, 5, alarm, alarm], tn=[90, 90, 100 - alarm, 100 - alarm])
    assert [metrics_of(changed)[name] for name in means] == [metrics_of(PIXELS)[name] for name in means]


def test_an_empty_answer_to_a_lesion_counts_0_in_every_mean_of_lesions():
    metrics = metrics_of(pd.DataFrame({"tp": [0, 8], "fp": [0, 0], "fn": [8, 0], "tn": [2, 2]}))
    means = ("iou_image", "dice_image", "precision_image", "recall_image", "missed_rate")
    assert [metrics[name] for name in means] == [0.5] * 5


def test_overlap_is_that_of_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    answers, truths = (torch.rand(5, 9, 7, generator=generator) > 0.6 for _ in range(2))
    pairs = list(zip(answers, truths, strict=True))
    rows = [[int(both.sum()) for both in (a & t, a & ~t, ~a & t, ~a & ~t)] for a, t in pairs]
    metrics = metrics_of(pd.DataFrame(rows, columns=["tp", "fp", "fn", "tn"]))
    assert metrics["iou_pooled"] == pytest.approx(float(binary_jaccard_index(answers.int(), truths.int())))
    each = [float(binary_jaccard_index(a.int(), t.int())) for a, t in pairs]
    assert metrics["iou_image"] == pytest.approx(np.mean(each))


# Which is better.


def test_a_perfect_network_is_the_better_one_by_every_metric():
    perfect = metrics_of(certain([[8, 0, 0], [0, 5, 0], [0, 0, 4]]))
    poor = metrics_of(certain([[5, 2, 1], [2, 2, 1], [1, 1, 2]]))
    drawn = PIXELS.assign(tp=[8, 5, 0, 0], fp=0, fn=0, tn=[92, 95, 100, 100], hd95=[0, 0, np.nan, np.nan],
                          surface_dice=[1, 1, np.nan, np.nan])  # fmt: skip
    compared, neutral = 0, {metric.key for metric in CLASSIFICATION if not metric.better}
    for best, worst in ((perfect, poor), (metrics_of(drawn), metrics_of(PIXELS))):
        for name in best.keys() - {"n", "undefined", *neutral}:
            assert best[name] != worst[name], name
            assert _verdict(name, best[name] - worst[name], 0.001) == "A better", name
            assert _verdict(name, worst[name] - best[name], 0.001) == "B better", name
            compared += 1
    assert compared > 50
    assert set(TITLES) >= LOWER_IS_BETTER
    assert _verdict("missed_rate", 0.2, 0.001) == "B better"


# What they are called.


def test_every_metric_has_a_different_title():
    both = metrics_of(certain([[2, 1, 0], [0, 2, 1], [1, 0, 2]])) | metrics_of(PIXELS)
    names = both.keys() - {"n", "undefined"}
    titles = {name: title_of(name) for name in names}
    assert not [name for name, title in titles.items() if "_" in title]
    assert len(set(titles.values())) == len(titles)
    assert title_of("iou_image") == "IoU, mean of lesions"
    assert title_of("average_precision_a_cyst") == "average precision of a_cyst"
    assert heading_of("auroc_malignant") == "AUC of malignant"
    assert heading_of("missed_rate") == "Missed lesions"


# Intervals and calibration.


def test_intervals_by_hand():
    assert percentile_interval(np.arange(0, 41.0)) == pytest.approx((1, 39))
    assert two_sided_p(np.array([-1.0, 1, 1, 1])) == pytest.approx(2 * 2 / 5)
    assert two_sided_p(np.array([1.0, 1, 1, 1])) == pytest.approx(2 * 1 / 5)
    assert two_sided_p(np.array([0.0, 0, 0])) == 1
    # Wilson (1927), 8 of 10: center (8 + z²/2) / (10 + z²), z = 1.96.
    z2 = 1.959964**2
    half = 1.959964 * math.sqrt(10) / (10 + z2) * math.sqrt(0.16 + z2 / 40)
    assert wilson(8, 10) == pytest.approx(((8 + z2 / 2) / (10 + z2) - half, (8 + z2 / 2) / (10 + z2) + half))


@pytest.mark.parametrize(
    ("required", "threshold", "sensitivity", "specificity"),
    [(0.33, 0.85, 1 / 3, 1), (0.66, 0.65, 2 / 3, 1), (0.67, 0.25, 1, 1 / 2), (1.0, 0.25, 1, 1 / 2)],
)
def test_thresholds_by_hand(required, threshold, sensitivity, specificity):
    scores, positive = np.array([0.9, 0.8, 0.3, 0.5, 0.2]), np.array([True, True, True, False, False])
    chosen = choose_threshold(scores, positive, required)
    by_hand = {"threshold": threshold, "sensitivity": sensitivity, "specificity": specificity, "asked": required}
    assert chosen == pytest.approx(by_hand | {"positives": 3, "negatives": 2})


def test_the_temperature_has_the_least_log_loss_of_scikit_learn_where_probabilities_are_0():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    logits = 3 * np.eye(3)[labels] + rng.normal(0, 4, (60, 3))
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    probabilities[0] = np.eye(3)[(labels[0] + 1) % 3]  # certain, and wrong
    cases = table([CLASSES[label] for label in labels], probabilities.tolist())

    def loss(temperature):
        columns = [f"prob_{name}" for name in CLASSES]
        return sklearn_metrics.log_loss(labels, tempered(cases, temperature)[columns], labels=range(3))

    fitted = find_temperature(probabilities, labels)
    grid = np.geomspace(0.2, 15, 400)
    assert fitted == pytest.approx(grid[np.argmin([loss(value) for value in grid])], rel=0.02)
    assert loss(1.0) == pytest.approx(sklearn_metrics.log_loss(labels, probabilities), rel=1e-6)
    assert metrics_of(tempered(cases, fitted))["log_loss"] == pytest.approx(loss(fitted))
