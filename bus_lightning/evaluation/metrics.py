"""From cases, a row per image, to the numbers of a part: counts first, ratios last, null where undefined."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torchmetrics.functional import classification as functional

Metrics = dict[str, float | int | None]
PROBABILITY = "prob_"
COUNTS = ("tp", "fp", "fn", "tn")


def metrics_of(cases: pd.DataFrame) -> Metrics:
    """Compute the metrics of one part's cases, classification or segmentation by their columns."""
    return segmentation_metrics(cases) if "tp" in cases else classification_metrics(cases)


def classification_metrics(cases: pd.DataFrame) -> Metrics:
    """Score predicted classes and probabilities.

    Args:
        cases: Columns `label` (the class's name) and `prob_<class>` for each class.

    Returns:
        `n`; `accuracy` (micro), `balanced_accuracy` (mean recall of the classes), `precision_macro`, `recall_macro`,
        `f1_macro` and `auroc_macro` (one against rest), in [0, 1]. Macro means are over all classes, and null where a
        class has no case; a class that is never predicted has precision 0.
    """
    columns = [name for name in cases if name.startswith(PROBABILITY)]
    classes = [name.removeprefix(PROBABILITY) for name in columns]
    labels = torch.tensor([classes.index(label) for label in cases["label"]], dtype=torch.long)
    probabilities = torch.tensor(cases[columns].to_numpy("float32"))
    all_present = set(cases["label"]) == set(classes)

    def score(metric: Callable[..., Any], defined: bool, **options: Any) -> float | None:
        return float(metric(probabilities, labels, num_classes=len(classes), **options)) if defined else None

    recall = score(functional.multiclass_recall, all_present, average="macro")
    return {
        "n": len(cases),
        # Micro, as the paper counts; torchmetrics would average over classes when not told.
        "accuracy": score(functional.multiclass_accuracy, len(cases) > 0, average="micro"),
        "balanced_accuracy": recall,
        "precision_macro": score(functional.multiclass_precision, all_present, average="macro"),
        "recall_macro": recall,
        "f1_macro": score(functional.multiclass_f1_score, all_present, average="macro"),
        "auroc_macro": score(functional.multiclass_auroc, all_present, average="macro"),
    }


def segmentation_metrics(cases: pd.DataFrame) -> Metrics:
    """Score predicted pixels, counted per image at its own resolution.

    Args:
        cases: Columns `tp`, `fp`, `fn`, `tn`: pixels of one image.

    Returns:
        `n`; `accuracy`, `precision`, `recall`, `iou_pooled`, `dice_pooled` over the pixels of all images together;
        `iou_image`, `dice_image`: means over the images with a lesion; `false_alarm_rate`: share of the images
        without a lesion that have any predicted pixel.
    """
    tp, fp, fn, tn = (int(cases[name].sum()) for name in COUNTS)
    has_lesion = cases["tp"] + cases["fn"] > 0
    lesions, healthy = cases[has_lesion], cases[~has_lesion]
    overlap = lesions["tp"] / (lesions["tp"] + lesions["fp"] + lesions["fn"])
    dice = 2 * lesions["tp"] / (2 * lesions["tp"] + lesions["fp"] + lesions["fn"])
    return {
        "n": len(cases),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "iou_pooled": _ratio(tp, tp + fp + fn),
        "dice_pooled": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou_image": float(overlap.mean()) if len(lesions) else None,
        "dice_image": float(dice.mean()) if len(lesions) else None,
        "false_alarm_rate": _ratio(int((healthy["tp"] + healthy["fp"] > 0).sum()), len(healthy)),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
