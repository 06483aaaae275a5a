"""DeLong's test: do two scores of the same cases have the same area under the ROC curve?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

_NAN = float("nan")


@dataclass(frozen=True)
class DeLong:
    """The result of the test; NaN with a reason where it is undefined.

    Attributes:
        auc_a: Area under the ROC curve of the first score, in [0, 1].
        auc_b: Area of the second score.
        difference: auc_a - auc_b.
        low, high: 95% interval of the difference (normal approximation).
        z: The difference over its standard error.
        p: Two-sided.
        reason: Why the test, or a part of it, is undefined; else empty.
    """

    auc_a: float = _NAN
    auc_b: float = _NAN
    difference: float = _NAN
    low: float = _NAN
    high: float = _NAN
    z: float = _NAN
    p: float = _NAN
    reason: str = ""


def delong(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike) -> DeLong:
    """Test whether two correlated areas under the ROC curve differ.

    The cases must be independent: give one case of each near-duplicate group.

    Args:
        labels: (n,) bool or 0 and 1, whether a case is positive.
        scores_a: (n,) the first score; a higher score means more likely positive. Equal scores count as half.
        scores_b: (n,) the second score, of the same cases.

    Returns:
        The areas, their difference with its 95% interval, and the test. Scores that order all cases alike have z = 0
        and p = 1. If the areas differ but their difference has no variance (one score is always right and the other
        always wrong), interval, z and p are NaN.

    References:
        DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
        characteristic curves", Biometrics 44 (1988) 837-845.
        Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21 (2014) 1389-1393.
    """
    positive = np.asarray(labels).astype(bool)
    if min(np.sum(positive), np.sum(~positive)) < 2:
        return DeLong(reason="it needs at least two cases of each class")
    beaten_a, beating_a = _placements(positive, np.asarray(scores_a, dtype=float))
    beaten_b, beating_b = _placements(positive, np.asarray(scores_b, dtype=float))
    auc_a, auc_b = float(beaten_a.mean()), float(beaten_b.mean())
    difference = auc_a - auc_b
    # The variance of a difference is that of the placements' differences: no covariance matrix is needed.
    variance = sum(np.var(placed, ddof=1) / len(placed) for placed in (beaten_a - beaten_b, beating_a - beating_b))
    error = float(np.sqrt(variance))
    if error < 1e-12:  # equal up to the rounding of the placements
        if abs(difference) < 1e-12:
            return DeLong(auc_a, auc_b, 0.0, 0.0, 0.0, 0.0, 1.0)
        return DeLong(auc_a, auc_b, difference, reason="the difference has no variance among these cases")
    z = difference / error
    margin = float(norm.ppf(0.975)) * error
    return DeLong(auc_a, auc_b, difference, difference - margin, difference + margin, z, float(2 * norm.sf(abs(z))))


def _placements(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return for each positive the share of negatives below it, and for each negative that of positives above it."""
    ranks = rankdata(scores)
    own = np.empty_like(ranks)
    for part in (positive, ~positive):
        own[part] = rankdata(scores[part])
    others = ranks - own  # how many of the other class are below; ties count as half
    return others[positive] / np.sum(~positive), 1 - others[~positive] / np.sum(positive)
