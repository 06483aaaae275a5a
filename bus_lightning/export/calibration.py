"""Calibrate on predictions of training images by classifiers that had not seen them; the test images stay unused."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from bus_lightning.core.errors import UserError
from bus_lightning.export.runs import FinishedRun
from bus_lightning.metrics.classification import clipped
from bus_lightning.metrics.columns import classes_of, probabilities_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.cases import cases_of

POSITIVE = "malignant"
_TEMPERATURES = (0.05, 20.0)
_LEAST_PER_CLASS = 5
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Calibration:
    """What out-of-fold predictions tell.

    Attributes:
        temperature: What the logits are divided by.
        thresholds: `{"malignant": {...}}`; None where there is no such class.
        n: Images.
        runs: Classifiers that predicted them.
        before, after: `log_loss` and `calibration_error` on the same images, without and with the temperature.
        tested: The same two as `before` and `after`, and `sensitivity` and `specificity` of the threshold, on the test
            images of the classifier, which chose nothing.
    """

    temperature: float
    thresholds: dict[str, dict[str, float | int]] | None
    n: int
    runs: int
    before: dict[str, float | None]
    after: dict[str, float | None]
    tested: dict[str, Any]


def calibrate(runs: Sequence[FinishedRun], classifier: FinishedRun, sensitivity: float) -> Calibration:
    """Find the temperature, and the threshold for malignant.

    Args:
        runs: Classifiers whose test images were training images of the one that is exported.
        classifier: The one that is exported.
        sensitivity: That the threshold has to reach on these images, in (0, 1].

    Raises:
        UserError: When an image was predicted twice, or a class has too few images.
    """
    classes = classifier.classes
    cases = pd.concat([_tested(run) for run in runs], ignore_index=True)
    if len(twice := cases[cases["id"].duplicated()]):
        raise UserError(
            f"--out-of-fold: '{twice['id'].iloc[0]}' was predicted by several runs ({len(twice)} images were): give "
            "the runs of one seed."
        )
    if missing := set(classifier.split.train) - set(cases["id"]):
        raise UserError(
            f"--out-of-fold: {len(missing)} training images were predicted by no run, '{min(missing)}' for one: give "
            "all folds."
        )
    for name in classes:
        if (number := int((cases["label"] == name).sum())) < _LEAST_PER_CLASS:
            raise UserError(f"--out-of-fold: {number} images of {name} are too few to calibrate: give all folds.")
    labels = cases["label"].map(classes.index).to_numpy("int64")
    temperature = find_temperature(probabilities_of(cases), labels)
    calibrated = tempered(cases, temperature)
    thresholds = None
    if POSITIVE in classes:
        scores = probabilities_of(calibrated)[:, classes.index(POSITIVE)]
        thresholds = {POSITIVE: choose_threshold(scores, labels == classes.index(POSITIVE), sensitivity)}
    return Calibration(
        temperature, thresholds, len(cases), len(runs), confidence_scores(cases), confidence_scores(calibrated),
        _on_test(classifier, temperature, thresholds),
    )  # fmt: skip


def find_temperature(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Find the temperature with the least log loss.

    Args:
        probabilities: (n, K), not calibrated.
        labels: (n,).

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    logarithms = np.log(clipped(probabilities))

    def loss(log_temperature: float) -> float:
        scaled = logarithms / math.exp(log_temperature)
        own = scaled[np.arange(len(labels)), labels]
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - own))

    low, high = map(math.log, _TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5}).x)


def tempered(cases: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """Apply a temperature to the probabilities of cases."""
    logarithms = np.log(clipped(probabilities_of(cases)))
    columns = [f"prob_{name}" for name in classes_of(cases)]
    return cases.assign(**dict(zip(columns, softmax(logarithms / temperature, axis=1).T, strict=True)))


def choose_threshold(scores: Floats, is_positive: NDArray[np.bool_], sensitivity: float) -> dict[str, float | int]:
    """Choose the highest threshold that finds the wanted share of the positive images: it raises the fewest alarms.

    Args:
        scores: (n,) probability of the positive class; an image is flagged from the threshold on.
        is_positive: (n,).
        sensitivity: Share that has to be found, in (0, 1].

    Returns:
        `threshold`, between two scores; `sensitivity` and `specificity` that it has on these images; `asked`, the
        sensitivity that was asked for; `positives`, `negatives`, how many there are.
    """
    positive = np.sort(scores[is_positive])[::-1]
    needed = max(1, math.ceil(sensitivity * len(positive) - 1e-9))
    lowest = positive[needed - 1]
    below = scores[scores < lowest]
    # Between two scores, where rounding moves no image across.
    threshold = float((lowest + below.max()) / 2) if len(below) else float(lowest / 2)
    flagged = scores >= threshold
    return {
        "threshold": threshold,
        "sensitivity": float(flagged[is_positive].mean()),
        "specificity": float((~flagged[~is_positive]).mean()),
        "asked": sensitivity,
        "positives": int(is_positive.sum()),
        "negatives": int((~is_positive).sum()),
    }


def confidence_scores(cases: pd.DataFrame) -> dict[str, float | None]:
    """Tell how far the probabilities of cases are to be trusted."""
    found: dict[str, Any] = metrics_of(cases)
    return {name: None if found[name] is None else round(found[name], 4) for name in ("log_loss", "calibration_error")}


def read_own_cases(run: FinishedRun) -> pd.DataFrame:
    """Read a run's cases, with `group`, the near-duplicates of each image.

    Raises:
        DamagedError: When they cannot be used.
    """
    return cases_of(run.folder, run.config, run.split)


def _on_test(
    classifier: FinishedRun, temperature: float, thresholds: dict[str, dict[str, float | int]] | None
) -> dict[str, Any]:
    """See what temperature and threshold do to the test images."""
    cases = _tested(classifier)
    calibrated = tempered(cases, temperature)
    found = {"n": len(cases), "before": confidence_scores(cases), "after": confidence_scores(calibrated)}
    for name, chosen in (thresholds or {}).items():
        flagged, is_positive = calibrated[f"prob_{name}"] >= chosen["threshold"], cases["label"] == name
        shares = {"sensitivity": flagged[is_positive], "specificity": ~flagged[~is_positive]}
        found |= {name: {key: float(share.mean()) if len(share) else None for key, share in shares.items()}}
    return found


def _tested(run: FinishedRun) -> pd.DataFrame:
    """Take the cases of a run's test part."""
    cases = read_own_cases(run)
    tested = cases[cases["split"] == "test"]
    if set(tested["id"]) != set(run.split.test):
        raise UserError(f"{run.folder.cases} does not hold the test images of its split.json: train its run again.")
    return tested
