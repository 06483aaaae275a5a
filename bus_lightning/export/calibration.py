"""Calibrate a classifier on out-of-fold predictions of its training images, without the test images."""

import math
from collections.abc import Sequence
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
from bus_lightning.metrics.columns import classes_of, probabilities_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.finished import FinishedRun
from bus_lightning.statistics.thresholds import choose_threshold

_TEMPERATURES = (0.05, 20.0)
_LEAST_PER_CLASS = 5
Floats = NDArray[np.floating]
Thresholds = dict[str, dict[str, float | int]]


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration."""

    temperature: float  # divisor of the logits
    thresholds: Thresholds | None  # {"malignant": {...}}; None if there is no such class
    n: int  # images
    runs: int  # classifiers that predicted them
    before: dict[str, float | None]  # `log_loss` and `calibration_error` without the temperature
    after: dict[str, float | None]  # the same with it
    tested: dict[str, Any]  # both, and the threshold's `sensitivity` and `specificity`, on the classifier's test images


def calibrate(runs: Sequence[FinishedRun], classifier: FinishedRun, sensitivity: float) -> Calibration:
    """Find the temperature, and the threshold for malignant with a sensitivity in (0, 1].

    `runs` are classifiers whose test images are training images of the exported `classifier`.

    Raises:
        UserError: When an image was predicted twice or never, or a class has too few images.
    """
    classes = classifier.classes
    cases = pd.concat([_test_cases(run) for run in runs], ignore_index=True)
    if len(twice := cases[cases["id"].duplicated()]):
        raise UserError(
            f"--out-of-fold: {len(twice)} images were predicted by several runs, for example '{twice['id'].iloc[0]}': "
            "give the runs of one seed."
        )
    if missing := set(classifier.split.train) - set(cases["id"]):
        raise UserError(
            f"--out-of-fold: {len(missing)} training images were predicted by no run, for example '{min(missing)}': "
            "give all folds."
        )
    for name in classes:
        if (number := int((cases["label"] == name).sum())) < _LEAST_PER_CLASS:
            raise UserError(f"--out-of-fold: {number} images of {name} are too few to calibrate: give all folds.")
    labels = cases["label"].map(classes.index).to_numpy("int64")
    temperature = find_temperature(probabilities_of(cases), labels)
    calibrated = tempered(cases, temperature)
    thresholds = None
    if MALIGNANT in classes:
        scores = probabilities_of(calibrated)[:, classes.index(MALIGNANT)]
        thresholds = {MALIGNANT: choose_threshold(scores, labels == classes.index(MALIGNANT), sensitivity)}
    return Calibration(
        temperature, thresholds, len(cases), len(runs), confidence_scores(cases), confidence_scores(calibrated),
        _score_test_images(classifier, temperature, thresholds),
    )  # fmt: skip


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


def _score_test_images(classifier: FinishedRun, temperature: float, thresholds: Thresholds | None) -> dict[str, Any]:
    cases = _test_cases(classifier)
    calibrated = tempered(cases, temperature)
    scores = {"n": len(cases), "before": confidence_scores(cases), "after": confidence_scores(calibrated)}
    for name, chosen in (thresholds or {}).items():
        flagged, is_positive = calibrated[f"prob_{name}"] >= chosen["threshold"], cases["label"] == name
        shares = {"sensitivity": flagged[is_positive], "specificity": ~flagged[~is_positive]}
        scores |= {name: {key: float(share.mean()) if len(share) else None for key, share in shares.items()}}
    return scores


def _test_cases(run: FinishedRun) -> pd.DataFrame:
    """Read the cases of a run's test part."""
    cases = run.cases
    tested = cases[cases["split"] == "test"]
    if set(tested["id"]) != set(run.split.test):
        raise UserError(f"{run.folder.cases} does not hold the test images of its split.json: train the run again.")
    return tested
