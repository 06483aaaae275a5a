"""Selective prediction of a condition: the error rate among the most confident answers, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bus_lightning.metrics.columns import Bools, Floats, answers_of, probabilities_of, ratio
from bus_lightning.metrics.risk_coverage import area_under_risk_coverage, by_coverage
from bus_lightning.statistics.intervals import Estimate, in_draws, percentile_interval, with_interval

GRID = np.linspace(0.05, 1, 96)  # coverages of a curve: among fewer images, one error decides the rate
COVERAGES = (0.5, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Curve:
    """The error rate at each coverage of `GRID`, mean over the replicates.

    Attributes:
        risk, low, high: Error rate and its 95% interval, (G,).
        best: Error rate of the best possible order of the answers of each replicate, (G,).
    """

    risk: Floats
    low: Floats
    high: Floats
    best: Floats


def confidences_of(cases: pd.DataFrame) -> dict[str, Floats]:
    """Compute measures of confidence from probabilities: name -> (n,), higher is more confident.

    With two classes, all of them order the images alike, so there is only the first.
    """
    probabilities = probabilities_of(cases)
    ordered = np.sort(probabilities, axis=1)
    confidences = {"probability of the answer": ordered[:, -1]}
    if probabilities.shape[1] > 2:
        logarithms = np.log(np.where(probabilities > 0, probabilities, 1))
        confidences["margin to the second answer"] = ordered[:, -1] - ordered[:, -2]
        confidences["negative entropy"] = (probabilities * logarithms).sum(axis=1)
    return confidences


def accuracy_at_coverages(cases: pd.DataFrame, draws: int) -> dict[float, Estimate]:
    """Compute the accuracy of the most confident answers at each of `COVERAGES`, by the probability of the answer."""
    risks = _risks(cases, np.array(COVERAGES), draws).mean(axis=1)
    return {coverage: with_interval(1 - risks[:, column]) for column, coverage in enumerate(COVERAGES)}


def areas_by_confidence(cases: pd.DataFrame) -> dict[str, float]:
    """Compute the area under the risk-coverage curve by each measure of confidence, mean over the replicates."""
    areas: dict[str, list[float]] = {}
    for _, own in cases.groupby("replicate"):
        wrong = _is_wrong(own)
        for name, confidence in confidences_of(own).items():
            area, _ = area_under_risk_coverage(wrong, confidence, np.ones((1, len(own))))
            areas.setdefault(name, []).append(float(area[0]))
    return {name: float(np.mean(values)) for name, values in areas.items()}


def risk_curve(cases: pd.DataFrame, draws: int) -> Curve:
    """Compute the risk-coverage curve of a classifier, by the probability of its answer.

    Args:
        cases: Columns `replicate`, `group`, `label` and `prob_<class>`.
        draws: Draws of the bootstrap over groups.

    References:
        El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11 (2010) 1605-1641.
    """
    by_replicate = _risks(cases, GRID, draws)
    risks, errors = by_replicate.mean(axis=1), by_replicate[0, :, -1:]
    low, high = np.array([percentile_interval(column) for column in risks[1:].T]).T
    return Curve(risks[0], low, high, np.maximum(0, (errors - (1 - GRID)) / GRID).mean(axis=0))


def _risks(cases: pd.DataFrame, coverages: Floats, draws: int) -> Floats:
    """Compute error rates at coverages, (1 + draws, replicates, C); a tie at the threshold is taken in random order."""
    wrong, confidence = _is_wrong(cases), probabilities_of(cases).max(axis=1)
    replicates = [(cases["replicate"] == number).to_numpy() for number in cases["replicate"].unique()]

    def risks_in(weights: Floats) -> Floats:
        risks = []
        for own in replicates:
            errors, answers = (
                np.concatenate([np.zeros((len(weights), 1)), counts], axis=1)
                for counts in by_coverage(wrong[own], confidence[own], weights[:, own])
            )
            wanted = np.maximum(coverages * answers[:, -1:], 1)
            reached = [np.interp(*each) for each in zip(wanted, answers, errors, strict=True)]
            risks.append(ratio(np.array(reached), wanted))
        return np.stack(risks, axis=1)

    return in_draws(cases, draws, risks_in)


def _is_wrong(cases: pd.DataFrame) -> Bools:
    return np.asarray(answers_of(cases) != cases["label"].to_numpy())
