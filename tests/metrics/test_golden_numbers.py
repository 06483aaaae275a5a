"""Every number of an evaluation, compared with another computation: by image, by pair, by draw."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from sklearn import metrics as sklearn_metrics

from bus_lightning.metrics.per_case import (
    classification_metrics,
    metrics_of,
    reason,
    segmentation_metrics,
    weighted_metrics,
)
from bus_lightning.metrics.surface import surface_scores

CLASSES = ["benign", "malignant", "normal"]
# The third lesion is missed, with a false alarm next to it, and the fourth fills its image: nothing there can be
# specific. Of the normals one has an alarm.
PIXELS = pd.DataFrame(
    {
        "label": ["benign", "malignant", "benign", "malignant", "normal", "normal"],
        "tp": [31, 7, 0, 23, 0, 0],
        "fp": [5, 13, 11, 0, 3, 0],
        "fn": [2, 17, 19, 29, 0, 0],
        "tn": [101, 211, 307, 0, 41, 503],
        "hd95": [3.5, 21.0, 100.0, 8.0, np.nan, np.nan],
        "surface_dice": [0.75, 0.25, 0.0, 0.5, np.nan, np.nan],
    }
)
WEIGHTS = np.array([[1.0, 1, 1, 1, 1, 1], [2, 0, 1, 3, 2, 1], [0, 4, 1, 1, 0, 2]])


def scored_one_by_one(table):
    """Score images as scikit-learn does, a pixel at a time; the mean over images is that of a list."""
    pixels, images = [], []
    for row in table.itertuples():
        truth = np.repeat([1, 0, 1, 0], [row.tp, row.fp, row.fn, row.tn])
        answer = np.repeat([1, 1, 0, 0], [row.tp, row.fp, row.fn, row.tn])
        pixels.append((truth, answer))
        images.append({"lesion": truth.any(), "missed": not (truth & answer).any(), "alarm": answer.any(),
                       "area": answer.mean(), "hd95": row.hd95, "surface_dice": row.surface_dice,
                       **overlap(truth, answer)})  # fmt: skip
    frame = pd.DataFrame(images)
    lesions, normals = frame[frame["lesion"]], frame[~frame["lesion"]]
    pooled = overlap(*map(np.concatenate, zip(*pixels, strict=True)))
    scores = {name: pooled[name] for name in ("accuracy", "precision", "recall", "specificity")}
    scores |= {f"{name}_pooled": pooled[name] for name in ("iou", "dice")}
    scores |= {f"{name}_image": frame[name].mean() for name in ("accuracy", "specificity")}
    scores |= {f"{name}_image": lesions[name].mean() for name in ("precision", "recall", "iou", "dice")}
    scores |= {name: lesions[name].mean() for name in ("hd95", "surface_dice")}
    return scores | {
        **{name: float(table[name].sum()) for name in ("tp", "fp", "fn", "tn")},
        "missed_rate": lesions["missed"].mean(),
        "false_alarm_rate": normals["alarm"].mean(),
        "false_alarm_area": normals["area"].mean(),
    }


def overlap(truth, answer):
    judged = {"precision": sklearn_metrics.precision_score, "recall": sklearn_metrics.recall_score,
              "iou": sklearn_metrics.jaccard_score, "dice": sklearn_metrics.f1_score}  # fmt: skip
    scores = {name: score(truth, answer, zero_division=0.0) for name, score in judged.items()}
    scores["accuracy"] = sklearn_metrics.accuracy_score(truth, answer)
    healthy = np.nan if truth.all() else sklearn_metrics.recall_score(truth, answer, pos_label=0)
    return scores | {"specificity": healthy}


@pytest.mark.parametrize("draw", range(3))
def test_every_score_of_a_segmenter_is_that_of_its_images_one_by_one(draw):
    scores = {name: value[draw] for name, value in segmentation_metrics(PIXELS, WEIGHTS).items()}
    repeated = PIXELS.loc[np.repeat(np.arange(6), WEIGHTS[draw].astype(int))]
    assert scores == pytest.approx(scored_one_by_one(repeated))
    if draw == 0:
        kept = metrics_of(PIXELS.drop(columns="label"))
        assert kept.pop("n") == 6
        assert kept.pop("undefined") == {}
        assert kept == pytest.approx(scored_one_by_one(PIXELS))


def answers(number=70, seed=3):
    """Labels of three classes of different sizes, answers with ties, and three weightings."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], [number // 2, number // 3, number - number // 2 - number // 3])
    raw = (rng.dirichlet([1, 1, 1], number) + 0.4 * np.eye(3)[labels]).round(1) + 0.01
    return labels, raw / raw.sum(axis=1, keepdims=True), np.stack([np.ones(number), rng.integers(0, 4, number)])


def judged_by_scikit_learn(labels, probabilities, weight):
    """Find every score of a classifier in scikit-learn, or with one line of arithmetic."""
    predicted, options = probabilities.argmax(axis=1), {"sample_weight": weight, "zero_division": 0.0}
    scores = {}
    for k, name in enumerate(CLASSES):
        truth, answer = labels == k, predicted == k
        for score in ("precision", "recall", "f1"):
            scores[f"{score}_{name}"] = getattr(sklearn_metrics, f"{score}_score")(truth, answer, **options)
        scores[f"specificity_{name}"] = sklearn_metrics.recall_score(truth, answer, pos_label=0, **options)
        scores[f"npv_{name}"] = sklearn_metrics.precision_score(truth, answer, pos_label=0, **options)
        ranked = {"sample_weight": weight}
        scores[f"auroc_{name}"] = sklearn_metrics.roc_auc_score(truth, probabilities[:, k], **ranked)
        scores[f"average_precision_{name}"] = sklearn_metrics.average_precision_score(
            truth, probabilities[:, k], **ranked
        )
    for score in ("precision", "recall", "f1", "specificity", "npv", "auroc", "average_precision"):
        scores[f"{score}_macro"] = np.mean([scores[f"{score}_{name}"] for name in CLASSES])
    scores["balanced_accuracy"] = scores["recall_macro"]
    scores["accuracy"] = np.average(predicted == labels, weights=weight)
    scores["log_loss"] = np.average(-np.log(probabilities[range(len(labels)), labels]), weights=weight)
    scores["brier"] = np.average(((probabilities - np.eye(3)[labels]) ** 2).sum(axis=1), weights=weight)
    confidence, gaps = probabilities.max(axis=1), 0.0
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & (confidence < low + 0.1 + (low == 0.9))
        gaps += abs(np.sum(weight[inside] * (confidence[inside] - (predicted == labels)[inside])))
    scores["calibration_error"] = gaps / weight.sum()
    wrong = predicted != labels
    bins = np.array([np.sum(confidence < value) for value in confidence]) * 10 // len(confidence)
    gaps = [abs(np.sum((weight * (confidence - ~wrong))[bins == number])) for number in range(10)]
    scores["calibration_error_adaptive"] = np.sum(gaps) / weight.sum()
    answered, errors, risks = 0, 0.0, []
    for level in np.unique(confidence)[::-1]:  # answers of equal confidence come in random order
        copies, own = int(weight[confidence == level].sum()), weight[(confidence == level) & wrong].sum()
        risks += [(errors + own * (k + 1) / copies) / (answered + k + 1) for k in range(copies)]
        answered, errors = answered + copies, errors + own
    best = [max(0, k - (answered - errors)) / k for k in range(1, answered + 1)]
    scores |= {"aurc": np.mean(risks), "excess_aurc": np.mean(risks) - np.mean(best)}
    sick, logits = (labels == 1).astype(float), np.log(probabilities[:, 1] / (1 - probabilities[:, 1]))
    fit = {"family": sm.families.Binomial(), "freq_weights": weight}
    scores["malignant_calibration_slope"] = sm.GLM(sick, sm.add_constant(logits), **fit).fit().params[1]
    intercept = sm.GLM(sick, np.ones(len(sick)), offset=logits, **fit).fit().params[0]
    scores["malignant_calibration_intercept"] = intercept
    lesion = labels < 2
    sick, weight, two = labels[lesion] == 1, weight[lesion], probabilities[lesion, :2]
    called = two[:, 1] > two[:, 0]
    pair = "malignant_vs_benign"
    scores[f"{pair}_accuracy"] = np.average(called == sick, weights=weight)
    scores[f"{pair}_sensitivity"] = np.average(called[sick], weights=weight[sick])
    scores[f"{pair}_specificity"] = np.average(~called[~sick], weights=weight[~sick])
    share = two[:, 1] / two.sum(axis=1)
    return scores | {f"{pair}_auroc": sklearn_metrics.roc_auc_score(sick, share, sample_weight=weight)}


@pytest.mark.parametrize("draw", range(2))
def test_every_score_of_a_classifier_is_that_of_scikit_learn(draw):
    labels, probabilities, weights = answers()
    scores = {n: value[draw] for n, value in classification_metrics(labels, probabilities, weights, CLASSES).items()}
    assert scores == pytest.approx(judged_by_scikit_learn(labels, probabilities, weights[draw]))


def test_a_full_confidence_lies_in_the_last_bin_and_a_bin_with_both_signs_cancels_only_within():
    # Bin 5 to 6: 0.55 wrong and 0.58 right; bin 9 to 10: 1.0 wrong.
    probabilities = np.array([[0.55, 0.45, 0], [0.58, 0.42, 0], [0, 1.0, 0]])
    scores = classification_metrics(np.array([1, 0, 0]), probabilities, np.ones((1, 3)), CLASSES)
    assert scores["calibration_error"][0] == pytest.approx((abs(0.55 + 0.58 - 1) + 1) / 3)


def test_log_loss_takes_tiny_probabilities_and_auroc_counts_two_zeros_as_a_tie():
    table = pd.DataFrame({"label": ["benign", "malignant", "benign", "malignant"],
                          "prob_benign": [1e-9, 0.0, 0.9, 0.2], "prob_malignant": [0.5, 0.0, 0.05, 0.6],
                          "prob_normal": [0.5, 1.0, 0.05, 0.2]})  # fmt: skip
    scores = metrics_of(table.drop(index=1))
    assert scores["log_loss"] == pytest.approx(-(np.log(1e-9) + np.log(0.9) + np.log(0.6)) / 3)
    # Shares of malignant: 1 and 1/19 of the benign, 1/2 (neither) and 3/4 of the malignant: two of four pairs in order.
    assert metrics_of(table)["malignant_vs_benign_auroc"] == pytest.approx(2 / 4)
    assert metrics_of(table)["malignant_vs_benign_sensitivity"] == 0.5  # no answer is no finding


def test_an_undefined_score_says_why():
    sure = pd.DataFrame({"label": ["benign"] * 2 + ["malignant"] * 2, "prob_benign": 1.0, "prob_malignant": 0.0})
    scores = metrics_of(sure)
    assert scores["undefined"] == {
        "precision_malignant": "no image was called malignant",
        "npv_benign": "every image was called benign",
        "malignant_calibration_slope": "the probabilities of malignant are all the same, or separate it from the rest",
    }
    assert scores["npv_macro"] == pytest.approx((0 + 0.5) / 2)
    assert reason("auroc_macro", sure.iloc[:2]) == "no image of class malignant"
    assert reason("precision_malignant", sure.iloc[:2]) == "no image of class malignant"
    lesions, normals = PIXELS.iloc[:4], PIXELS.iloc[4:]
    assert reason("false_alarm_area", lesions) == "no image without a lesion"
    assert reason("iou_image", normals) == "no image with a lesion"
    assert reason("hd95", normals) == "no image with a lesion"
    assert reason("precision", normals) == "no lesion was predicted"
    filled = metrics_of(lesions.assign(fp=0, tn=0))["undefined"]
    assert filled["specificity"] == filled["specificity_image"] == "no image with background"
    assert reason("hd95", lesions.assign(hd95=[1, np.nan, 2, 3])) == "hd95 is missing for some images"
    assert metrics_of(lesions.assign(hd95=[1, np.nan, 2, 3]))["hd95"] is None
    assert reason("iou_image", lesions.iloc[:0]) == "no images"


def test_joint_cases_have_two_separate_accuracies():
    labels, probabilities, _ = answers(6)
    columns_of_classes = {f"prob_{name}": column for name, column in zip(CLASSES, probabilities.T, strict=True)}
    table = PIXELS.assign(label=[CLASSES[k] for k in labels], **columns_of_classes)
    scores = {name: value[0] for name, value in weighted_metrics(table, np.ones((1, 6))).items()}
    assert scores["accuracy_pooled"] == pytest.approx(scored_one_by_one(PIXELS)["accuracy"])
    assert scores["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == labels))


def blob(seed, shape):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    for _ in range(3):
        top, left = rng.integers(0, shape[0] - 14), rng.integers(0, shape[1] - 22)
        mask[top : top + rng.integers(6, 14), left : left + rng.integers(8, 22)] = True
    return mask


@pytest.mark.parametrize("seed", range(4))
def test_outlines_are_as_far_apart_as_a_distance_transform_says(seed):
    shape = (60, 110)
    truth = blob(seed, shape)
    answer = blob(seed + 10, shape) | (blob(seed, shape) & (np.arange(110) < 60))
    answer[np.argwhere(truth)[0][0], np.argwhere(truth)[0][1]] = True
    edges = [mask & ~binary_erosion(mask) for mask in (answer, truth)]
    away = [distance_transform_edt(~edges[1])[edges[0]], distance_transform_edt(~edges[0])[edges[1]]]
    diagonal = math.hypot(*shape)
    scores = surface_scores(torch.from_numpy(answer), torch.from_numpy(truth))
    assert scores["hd95"] == pytest.approx(
        100 * max(np.percentile(distances, 95) for distances in away) / diagonal, rel=1e-4
    )
    near = sum((distances <= diagonal / 100).sum() for distances in away) / sum(map(len, away))
    assert scores["surface_dice"] == pytest.approx(near, rel=1e-4)
