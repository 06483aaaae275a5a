"""From cases, a row per image, to the metrics of a part: counts first, ratios last, null with a reason where undefined.

Each metric is one formula of the cases and of how much each counts. With every case counting once it is the metric;
with a row of weights per bootstrap draw it is the metric of each draw, for all draws at once.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.metrics.ranking import auroc, auroc_and_average_precision

Metrics = dict[str, Any]
Floats = NDArray[np.floating]
PROBABILITY = "prob_"
COUNTS = ("tp", "fp", "fn", "tn")
SURFACE = ("hd95", "surface_dice")
# What is logged in every epoch; the rest is for the end.
HEADLINE = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "auroc_macro",
            "tp", "fp", "fn", "tn", "accuracy_pooled", "precision", "recall", "iou_pooled", "dice_pooled", "iou_image",
            "dice_image", "false_alarm_rate")  # fmt: skip
BINS = 10  # of the confidence, for the calibration error


def metrics_of(cases: pd.DataFrame) -> Metrics:
    """Compute the metrics of one part's cases, classification or segmentation or both by their columns.

    Args:
        cases: Columns `label` (the class's name) and `prob_<class>` for each class; or `tp`, `fp`, `fn`, `tn`, pixels
            of one image, and perhaps `hd95` and `surface_dice`; or all of them.

    Returns:
        `n`; what `classification_scores` or `segmentation_scores` tell, None where undefined; and `undefined`: the
        reason for each of those. Where both tell something, `accuracy` is that of the classes, and that of the pixels
        is called `accuracy_pooled`.
    """
    if _answers_both(cases):
        pixels, classes = (metrics_of(answers_to(task, cases)) for task in ("segmentation", "classification"))
        undefined = _together(pixels.pop("undefined"), classes.pop("undefined"))
        return _together(pixels, classes) | {"undefined": undefined}
    once = np.ones((1, len(cases)))
    found = scores_of(cases, once)
    values = {name: float(value[0]) if math.isfinite(value[0]) else None for name, value in found.items()}
    reasons = {name: reason(name, cases) for name, value in values.items() if value is None}
    return {"n": len(cases), **values, "undefined": reasons}


def scores_of(cases: pd.DataFrame, weights: Floats) -> dict[str, Floats]:
    """Compute every metric of the cases under each row of weights, (D, n) -> (D,) each, NaN where undefined."""
    if _answers_both(cases):
        return _together(*(scores_of(answers_to(task, cases), weights) for task in ("segmentation", "classification")))
    if "tp" in cases:
        return segmentation_scores(cases, weights)
    classes = classes_of(cases)
    positions = {name: position for position, name in enumerate(classes)}
    labels, probabilities = cases["label"].map(positions).to_numpy("int64"), probabilities_of(cases)
    if np.isfinite(probabilities).all():
        return classification_scores(labels, probabilities, weights, classes)
    # Of a training that diverged: every metric is there, and none is defined.
    found = classification_scores(labels, np.zeros_like(probabilities), weights, classes)
    return {name: np.full_like(values, np.nan) for name, values in found.items()}


def answers_to(task: str, cases: pd.DataFrame) -> pd.DataFrame:
    """Take what cases say about one task: a joint network's without the columns of the other.

    Args:
        task: classification or segmentation.
        cases: A row per image.
    """
    of_pixels = [name for name in (*COUNTS, *SURFACE) if name in cases]
    of_classes = [f"{PROBABILITY}{name}" for name in classes_of(cases)]
    return cases.drop(columns=of_pixels if task == "classification" else of_classes)


def _answers_both(cases: pd.DataFrame) -> bool:
    return "tp" in cases and bool(classes_of(cases))


def _together(pixels: dict[str, Any], classes: dict[str, Any]) -> dict[str, Any]:
    """Unite what is known by metric; both tasks have an accuracy, and no other name in common."""
    return {"accuracy_pooled" if name == "accuracy" else name: value for name, value in pixels.items()} | classes


def classes_of(cases: pd.DataFrame) -> list[str]:
    """Read the classes, in the order of the labels, from the columns of cases."""
    return [name.removeprefix(PROBABILITY) for name in cases if name.startswith(PROBABILITY)]


def probabilities_of(cases: pd.DataFrame) -> Floats:
    """Take the probabilities of cases, (n, K) float64."""
    return cases[[f"{PROBABILITY}{name}" for name in classes_of(cases)]].to_numpy("float64")


def clipped(probabilities: Floats) -> Floats:
    """Clip probabilities to [eps, 1 - eps] with the dtype's machine epsilon, as `sklearn.metrics.log_loss` does.

    The log-loss of a wrong answer with probability 1 is then finite: 36.04 nats in float64, 15.94 in float32.

    Args:
        probabilities: Values in [0, 1], of any shape, float32 or float64.

    Returns:
        Same shape and dtype.
    """
    epsilon = np.finfo(probabilities.dtype).eps
    return probabilities.clip(epsilon, 1 - epsilon)


def classification_scores(
    labels: NDArray[np.int64], probabilities: Floats, weights: Floats, classes: Sequence[str] | None = None
) -> dict[str, Floats]:
    """Score answers among K classes.

    Args:
        labels: (n,) int, the true class.
        probabilities: (n, K) float.
        weights: (D, n) float, how often each case counts, in each of D draws.
        classes: K names; None counts them from 0.

    Returns:
        (D,) each, NaN where undefined. Fractions in [0, 1]: `accuracy` (micro), `balanced_accuracy` (mean recall of the
        classes); `precision`, `recall`, `f1`, `specificity`, `npv`, `auroc` and `average_precision` (one against
        rest) as `<name>_<class>` and, their mean, `<name>_macro`; `calibration_error` (expected, over 10 bins of the
        confidence; the last bin includes 1). `log_loss` in nats, of `clipped` probabilities; `brier` (squared
        error summed over classes, in [0, 2]). Of the images of benign and malignant lesions alone, reading the more
        probable of these two classes:
        `malignant_vs_benign_{accuracy,sensitivity,specificity,auroc}`.
        Macro means need a case of every class; an answer that is never given has no precision and counts 0 in their
        mean, as the paper counts.
    """
    number = probabilities.shape[1]
    names = list(classes or map(str, range(number)))
    predicted = probabilities.argmax(axis=1) if len(labels) else labels
    cells = weights @ np.eye(number * number)[labels * number + predicted]
    confusion = cells.reshape(-1, number, number)  # draws, truth, answer
    total, right = confusion.sum(axis=(1, 2)), np.diagonal(confusion, axis1=1, axis2=2)
    actual, answered = confusion.sum(axis=2), confusion.sum(axis=1)
    negative, unanswered = total[:, None] - actual, total[:, None] - answered
    healthy = unanswered - (actual - right)  # true negatives
    ranked = [auroc_and_average_precision(labels == k, probabilities[:, k], weights) for k in range(number)]
    by_class = {
        "precision": _ratio(right, answered),
        "recall": _ratio(right, actual),
        "f1": _ratio(2 * right, actual + answered),
        "specificity": _ratio(healthy, negative),
        "npv": _ratio(healthy, unanswered),
        "auroc": np.stack([area for area, _ in ranked], axis=1),
        "average_precision": np.stack([precision for _, precision in ranked], axis=1),
    }
    complete = (actual > 0).all(axis=1)
    never_answered = {"precision", "npv"}
    macro = {
        name: np.where(complete, (np.nan_to_num(values) if name in never_answered else values).mean(axis=1), np.nan)
        for name, values in by_class.items()
    }
    own = probabilities[np.arange(len(labels)), labels]
    squared = ((probabilities - np.eye(number)[labels]) ** 2).sum(axis=1)
    return {
        "accuracy": _ratio(right.sum(axis=1), total),
        "balanced_accuracy": macro["recall"],
        **{f"{name}_macro": values for name, values in macro.items()},
        "log_loss": _ratio(weights @ -np.log(clipped(own)), total),
        "brier": _ratio(weights @ squared, total),
        "calibration_error": _calibration_error(probabilities, predicted == labels, weights),
        **{f"{name}_{names[k]}": values[:, k] for name, values in by_class.items() for k in range(number)},
        **_malignant_vs_benign(labels, probabilities, weights, names),
    }


def _calibration_error(probabilities: Floats, right: NDArray[np.bool_], weights: Floats) -> Floats:
    """Average the distance between confidence and accuracy over bins (Naeini et al. 2015)."""
    confidence = probabilities.max(axis=1) if len(right) else np.zeros(0)
    bins = np.eye(BINS)[np.minimum((confidence * BINS).astype(int), BINS - 1)]
    gap = weights @ (bins * (confidence - right)[:, None])
    return _ratio(np.abs(gap).sum(axis=1), weights.sum(axis=1))


def _malignant_vs_benign(
    labels: NDArray[np.int64], probabilities: Floats, weights: Floats, names: list[str]
) -> dict[str, Floats]:
    """Read the answer as one between two classes, on images of these two."""
    if not {"benign", "malignant"} <= set(names):
        return {}
    benign, malignant = names.index("benign"), names.index("malignant")
    lesions = (labels == benign) | (labels == malignant)
    truth, weights = labels[lesions] == malignant, weights[:, lesions]
    both = probabilities[lesions][:, [benign, malignant]]
    answer = both[:, 1] > both[:, 0]
    scores = _ratio(both[:, 1], both.sum(axis=1))
    sick, healthy = weights @ truth, weights @ ~truth
    return {
        "malignant_vs_benign_accuracy": _ratio(weights @ (answer == truth), sick + healthy),
        "malignant_vs_benign_sensitivity": _ratio(weights @ (answer & truth), sick),
        "malignant_vs_benign_specificity": _ratio(weights @ (~answer & ~truth), healthy),
        "malignant_vs_benign_auroc": auroc(truth, np.nan_to_num(scores, nan=0.5), weights),
    }


def segmentation_scores(cases: pd.DataFrame, weights: Floats) -> dict[str, Floats]:
    """Score answered pixels, counted per image at its own resolution.

    Args:
        cases: Columns `tp`, `fp`, `fn`, `tn`: pixels of one image; and perhaps `hd95` and `surface_dice`.
        weights: (D, n) float, how often each image counts, in each of D draws.

    Returns:
        (D,) each, NaN where undefined. Over the pixels of all images together: `tp`, `fp`, `fn`, `tn` (counts), and in
        [0, 1] `accuracy`, `precision`, `recall`, `specificity`, `iou_pooled`, `dice_pooled`. Means over images:
        `accuracy_image` and `specificity_image` over all; `precision_image`, `recall_image`, `iou_image`, `dice_image`
        over those with a lesion, where an empty answer counts 0; `hd95` (per cent of the diagonal) and `surface_dice`
        too.
        `missed_rate`: share of the lesions without a single right pixel. Of the images without a lesion:
        `false_alarm_rate`, share with any answered pixel; `false_alarm_area`, mean share of the image that was
        answered.
    """
    tp, fp, fn, tn = (cases[name].to_numpy("float64") for name in COUNTS)
    pixels = dict(zip(COUNTS, (weights @ count for count in (tp, fp, fn, tn)), strict=True))
    (tps, fps, fns, tns), lesion = pixels.values(), tp + fn > 0

    def mean(values: Floats, among: NDArray[np.bool_]) -> Floats:
        return _ratio(weights[:, among] @ np.nan_to_num(values[among]), weights[:, among].sum(axis=1))

    everyone, lesions = np.ones(len(cases), bool), weights[:, lesion].sum(axis=1)
    surface = [name for name in SURFACE if name in cases]
    return pixels | {
        "accuracy": _ratio(tps + tns, tps + fps + fns + tns),
        "precision": _ratio(tps, tps + fps),
        "recall": _ratio(tps, tps + fns),
        "specificity": _ratio(tns, tns + fps),
        "iou_pooled": _ratio(tps, tps + fps + fns),
        "dice_pooled": _ratio(2 * tps, 2 * tps + fps + fns),
        "accuracy_image": mean(_ratio(tp + tn, tp + fp + fn + tn), everyone),
        "specificity_image": mean(_ratio(tn, tn + fp), tn + fp > 0),
        "precision_image": mean(_ratio(tp, tp + fp), lesion),
        "recall_image": mean(_ratio(tp, tp + fn), lesion),
        "iou_image": mean(_ratio(tp, tp + fp + fn), lesion),
        "dice_image": mean(_ratio(2 * tp, 2 * tp + fp + fn), lesion),
        # A distance that is missing leaves the mean undefined; it must not count as none.
        **{name: _ratio(weights[:, lesion] @ cases[name].to_numpy("float64")[lesion], lesions) for name in surface},
        "missed_rate": mean((tp == 0).astype(float), lesion),
        "false_alarm_rate": mean((fp > 0).astype(float), ~lesion),
        "false_alarm_area": mean(_ratio(fp, fp + tn), ~lesion),
    }


def reason(name: str, cases: pd.DataFrame) -> str:
    """Say why a metric of these cases is undefined."""
    if not len(cases):
        return "no images"
    if "tp" in cases:
        if name.startswith("false_alarm"):
            return "no image without a lesion"
        if name == "precision":
            return "no pixel was answered"
        measured = name not in cases or cases.loc[cases["tp"] + cases["fn"] > 0, name].notna().all()
        return "no image with a lesion" if measured else f"{name} is missing for some images"
    if not np.isfinite(probabilities_of(cases)).all():
        return "probabilities that are no numbers"
    missing = [wanted for wanted in classes_of(cases) if wanted not in set(cases["label"])]
    for class_ in classes_of(cases):
        if class_ not in missing and name == f"precision_{class_}":
            return f"no image was called {class_}"
        if class_ not in missing and name == f"npv_{class_}":
            return f"every image was called {class_}"
    return f"no image of class {', '.join(missing)}" if missing else "every image is of one class"


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; what is divided by nothing is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
