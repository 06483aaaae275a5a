"""From cases, a row per image, to the metrics of a part; null with a reason where a metric is undefined.

The same functions compute the metrics, with weight 1 for each case, and those of all bootstrap draws at once, with a
row of weights per draw.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.metrics.catalogue import CLASSIFICATION, POOLED_ACCURACY, SEGMENTATION
from bus_lightning.metrics.classification import Classified, macro
from bus_lightning.metrics.columns import (
    LESIONS,
    SURFACE,
    Floats,
    cases_of_task,
    classes_of,
    has_both_tasks,
    has_lesion,
    probabilities_of,
)
from bus_lightning.metrics.segmentation import counted

Metrics = dict[str, Any]
_ZERO_IF_NEVER_PREDICTED = {"precision", "npv"}  # in their macro means, as the paper counts


def metrics_of(cases: pd.DataFrame, only: Collection[str] | None = None) -> Metrics:
    """Compute the metrics of one part's cases, classification or segmentation or both by their columns.

    Args:
        cases: Columns `label` (the class's name) and `prob_<class>` for each class; or `tp`, `fp`, `fn`, `tn`, pixels
            of one image, and perhaps `hd95` and `surface_dice`, and those of `MILLIMETRES`; or all of them.
        only: Keys of the metrics that are needed; others may be missing then. None computes all.

    Returns:
        `n`; the metrics of the catalogue, None where undefined; and `undefined`: the reason for each of those. For both
        tasks, `accuracy` is that of the classes, and that of the pixels is called `accuracy_pooled`.
    """
    if has_both_tasks(cases):
        only = _of_parts(only)
        pixels, classes = (metrics_of(cases_of_task(task, cases), only) for task in ("segmentation", "classification"))
        undefined = _united(pixels.pop("undefined"), classes.pop("undefined"))
        return _united(pixels, classes) | {"undefined": undefined}
    once = np.ones((1, len(cases)))
    numbers = {key: float(value[0]) for key, value in weighted_metrics(cases, once, only).items()}
    values = {key: number if math.isfinite(number) else None for key, number in numbers.items()}
    reasons = {key: reason(key, cases) for key, value in values.items() if value is None}
    return {"n": len(cases), **values, "undefined": reasons}


def weighted_metrics(cases: pd.DataFrame, weights: Floats, only: Collection[str] | None = None) -> dict[str, Floats]:
    """Compute metrics of the cases under each row of weights, (D, n) -> (D,) each, NaN where undefined.

    `only` names those that are needed, as in `metrics_of`; the values do not depend on which others are computed.
    """
    if has_both_tasks(cases):
        only = _of_parts(only)
        parts = (
            weighted_metrics(cases_of_task(task, cases), weights, only) for task in ("segmentation", "classification")
        )
        return _united(*parts)
    if "tp" in cases:
        return segmentation_metrics(cases, weights, only)
    classes = classes_of(cases)
    positions = {name: position for position, name in enumerate(classes)}
    labels, probabilities = cases["label"].map(positions).to_numpy("int64"), probabilities_of(cases)
    if np.isfinite(probabilities).all():
        return classification_metrics(labels, probabilities, weights, classes, only)
    # The training has diverged: every metric is there, and none is defined.
    metrics = classification_metrics(labels, np.zeros_like(probabilities), weights, classes, only)
    return {key: np.full_like(values, np.nan) for key, values in metrics.items()}


def _of_parts(only: Collection[str] | None) -> Collection[str] | None:
    """Return the keys of the metrics of both tasks, as each task calls them."""
    return {*only, "accuracy"} if only is not None and POOLED_ACCURACY in only else only


def _united(pixels: dict[str, Any], classes: dict[str, Any]) -> dict[str, Any]:
    """Unite two dicts of metrics; only `accuracy` is a key of both tasks."""
    return {POOLED_ACCURACY if key == "accuracy" else key: value for key, value in pixels.items()} | classes


def classification_metrics(
    labels: NDArray[np.int64],
    probabilities: Floats,
    weights: Floats,
    classes: Sequence[str] | None = None,
    only: Collection[str] | None = None,
) -> dict[str, Floats]:
    """Compute the metrics of predictions among K classes.

    Args:
        labels: (n,) int, the true class.
        probabilities: (n, K) float.
        weights: (D, n) float, how often each case counts, in each of D draws.
        classes: K names; None counts them from 0.
        only: Keys of the metrics that are needed; None computes all.

    Returns:
        (D,) each, NaN where undefined: the metrics of the catalogue; those of each class as `<key>_<class>` and their
        mean as `<key>_macro`. Macro means need a case of every class.
    """
    names = list(classes or map(str, range(probabilities.shape[1])))
    predictions = Classified(labels, probabilities, weights, names)
    known = [metric for metric in CLASSIFICATION if set(metric.needs) <= set(names)]
    if only is not None:
        suffixes = ("macro", *names)
        known = [
            metric for metric in known
            if metric.key in only or (metric.per_class and any(f"{metric.key}_{each}" in only for each in suffixes))
        ]  # fmt: skip
    values = {metric.key: metric.compute(predictions) for metric in known}
    metrics: dict[str, Floats] = {}
    for metric in known:
        if metric.per_class:
            zero = metric.key in _ZERO_IF_NEVER_PREDICTED
            metrics[f"{metric.key}_macro"] = macro(values[metric.key], predictions, zero)
        elif not metric.needs:
            metrics[metric.key] = values[metric.key]
    for metric in known:
        if metric.per_class:
            metrics |= {f"{metric.key}_{name}": values[metric.key][:, k] for k, name in enumerate(names)}
    return metrics | {metric.key: values[metric.key] for metric in known if metric.needs}


def segmentation_metrics(
    cases: pd.DataFrame, weights: Floats, only: Collection[str] | None = None
) -> dict[str, Floats]:
    """Compute the metrics of predicted pixels, counted per image at its own resolution.

    Args:
        cases: Columns `tp`, `fp`, `fn`, `tn`: pixels of one image; and perhaps `hd95` and `surface_dice`, and those of
            `MILLIMETRES`.
        weights: (D, n) float, how often each image counts, in each of D draws.
        only: Keys of the metrics that are needed; None computes all.

    Returns:
        (D,) each, NaN where undefined: the metrics of the catalogue whose columns the cases have.
    """
    counts = counted(cases, weights)
    known = (metric for metric in SEGMENTATION if set(metric.columns) <= set(cases))
    return {metric.key: metric.compute(counts) for metric in known if only is None or metric.key in only}


def reason(key: str, cases: pd.DataFrame) -> str:
    """Say why a metric of these cases is undefined."""
    if not len(cases):
        return "no images"
    if "tp" in cases:
        if key in SURFACE and (key not in cases or cases.loc[has_lesion(cases), key].isna().any()):
            return f"{key} is missing for some images"
        of_lesions = {metric.key for metric in SEGMENTATION if metric.columns == LESIONS}
        if key in of_lesions and cases[[name for name in LESIONS if name in cases]].isna().any(axis=None):
            return "lesions were not counted for some images"
        return next((metric.undefined for metric in SEGMENTATION if metric.key == key), "")
    if not np.isfinite(probabilities_of(cases)).all():
        return "some probabilities are not finite"
    classes = classes_of(cases)
    missing = [name for name in classes if name not in set(cases["label"])]
    if of_malignant := [metric for metric in CLASSIFICATION if metric.key == key and metric.needs == (MALIGNANT,)]:
        if MALIGNANT in missing:
            return f"no image of class {MALIGNANT}"
        return f"every image is {MALIGNANT}" if set(cases["label"]) == {MALIGNANT} else of_malignant[0].undefined
    for name in classes:
        if name not in missing and key == f"precision_{name}":
            return f"no image was called {name}"
        if name not in missing and key == f"npv_{name}":
            return f"every image was called {name}"
    return f"no image of class {', '.join(missing)}" if missing else "every image is of one class"
