"""Calibrate probabilities on predictions for images that the networks were not trained on, without the test images."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.core.errors import UserError
from bus_lightning.metrics.classification import clipped
from bus_lightning.metrics.columns import Floats, classes_of, probabilities_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics.thresholds import choose_threshold

_TEMPERATURES = (0.05, 20.0)
_LEAST_PER_CLASS = 5
_SENSITIVITY = 0.95
Thresholds = dict[str, dict[str, float | int]]


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration."""

    temperature: float  # divisor of the logits
    thresholds: Thresholds | None  # {"malignant": {...}}; None if there is no such class
    n: int  # images
    runs: int  # networks that predicted them
    on: str  # what these predictions are
    before: dict[str, float | None]  # `log_loss` and `calibration_error` without the temperature
    after: dict[str, float | None]  # the same with it
    tested: dict[str, Any] | None  # both, and the threshold's `sensitivity` and `specificity`, on test images


def calibrate(cases: pd.DataFrame, on: str, runs: int, tested: pd.DataFrame | None, sensitivity: float) -> Calibration:
    """Find the temperature, and the threshold for malignant with a sensitivity in (0, 1].

    Args:
        cases: Predictions for images that the networks were not trained on: `id`, `label` and the probabilities.
        on: What these predictions are, one of `bundle.CALIBRATED_ON`.
        runs: Number of networks that predicted them.
        tested: Predictions for the test images, which judge the result; None if there are none.
        sensitivity: Sensitivity of the threshold.

    Raises:
        UserError: When a class has too few images.
    """
    classes = classes_of(cases)
    for name in classes:
        if (number := int((cases["label"] == name).sum())) < _LEAST_PER_CLASS:
            raise UserError(f"The {on} have {number} images of {name}, too few to calibrate: give all folds.")
    labels = cases["label"].map(classes.index).to_numpy("int64")
    temperature = find_temperature(probabilities_of(cases), labels)
    calibrated = tempered(cases, temperature)
    thresholds = None
    if MALIGNANT in classes:
        scores = probabilities_of(calibrated)[:, classes.index(MALIGNANT)]
        thresholds = {MALIGNANT: choose_threshold(scores, labels == classes.index(MALIGNANT), sensitivity)}
    return Calibration(
        temperature, thresholds, len(cases), runs, on, confidence_scores(cases), confidence_scores(calibrated),
        None if tested is None else _score(tested, temperature, thresholds),
    )  # fmt: skip


def choose_sensitivity(asked: float | None, classes: Collection[str]) -> float:
    """Return the sensitivity of the threshold for malignant: the one that `--sensitivity` asks for, or 0.95.

    Args:
        asked: The value; None without one.
        classes: The classes that the networks predict; empty if they only outline.

    Raises:
        UserError: If it is no share above 0, or the networks do not predict malignant.
    """
    if asked is None:
        return _SENSITIVITY
    if not 0 < asked <= 1:
        raise UserError(f"--sensitivity {asked}: give a number above 0 and up to 1, such as {_SENSITIVITY}.")
    if MALIGNANT not in classes:
        raise UserError(f"--sensitivity {asked}: these networks do not predict the class {MALIGNANT}: leave it out.")
    return asked


def has_enough(cases: pd.DataFrame) -> bool:
    """Say whether every class has enough images for `calibrate`."""
    counts = cases["label"].value_counts()
    return all(counts.get(name, 0) >= _LEAST_PER_CLASS for name in classes_of(cases))


def find_temperature(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Find the temperature with the smallest log loss for uncalibrated probabilities (n, K) and labels (n,).

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    logarithms = np.log(clipped(probabilities))

    def loss(log_temperature: float) -> float:
        scaled = logarithms / math.exp(log_temperature)
        of_labels = scaled[np.arange(len(labels)), labels]
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - of_labels))

    low, high = map(math.log, _TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5}).x)


def tempered(cases: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """Apply a temperature to the probabilities of cases."""
    logarithms = np.log(clipped(probabilities_of(cases)))
    columns = [f"prob_{name}" for name in classes_of(cases)]
    return cases.assign(**dict(zip(columns, softmax(logarithms / temperature, axis=1).T, strict=True)))


def confidence_scores(cases: pd.DataFrame) -> dict[str, float | None]:
    """Compute `log_loss` and `calibration_error` of cases, rounded; None if undefined."""
    scores: dict[str, Any] = metrics_of(cases)
    return {
        name: None if scores[name] is None else round(scores[name], 4) for name in ("log_loss", "calibration_error")
    }


def _score(cases: pd.DataFrame, temperature: float, thresholds: Thresholds | None) -> dict[str, Any]:
    """Score the calibration on test images."""
    calibrated = tempered(cases, temperature)
    scores = {"n": len(cases), "before": confidence_scores(cases), "after": confidence_scores(calibrated)}
    for name, chosen in (thresholds or {}).items():
        flagged, is_positive = calibrated[f"prob_{name}"] >= chosen["threshold"], cases["label"] == name
        shares = {"sensitivity": flagged[is_positive], "specificity": ~flagged[~is_positive]}
        scores |= {name: {key: float(share.mean()) if len(share) else None for key, share in shares.items()}}
    return scores
