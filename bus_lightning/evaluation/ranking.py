"""Metrics of a ranking for many weightings at once, which scikit-learn computes one at a time.

The bootstrap needs thousands of weightings of the same cases: they are sorted once. With one weighting the values are
those of `sklearn.metrics.roc_auc_score` and `average_precision_score`.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def auroc(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Compute the area under the ROC curve: how often a positive case scores above a negative one; a tie counts half.

    Args:
        truth: (n,) bool, who is positive.
        scores: (n,) float.
        weights: (D, n) float, how often each case counts, in each of D draws.

    Returns:
        (D,) in [0, 1], NaN where a draw has no positive or no negative case.
    """
    positive, negative, _ = _by_score(truth, scores, weights)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    ordered = (positive * (below + negative / 2)).sum(axis=1)
    return np.divide(ordered, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def average_precision(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Compute the average precision: the precision at each threshold, weighted by the recall that it adds.

    Args:
        truth: (n,) bool, who is positive.
        scores: (n,) float.
        weights: (D, n) float, how often each case counts, in each of D draws.

    Returns:
        (D,) in [0, 1], NaN where a draw has no positive case.
    """
    positive, negative, _ = _by_score(truth, scores, weights)
    found, alarms = (np.cumsum(part[:, ::-1], axis=1) for part in (positive, negative))
    precision = np.divide(found, found + alarms, out=np.zeros_like(found), where=found + alarms > 0)
    total = positive.sum(axis=1)
    gained = (positive[:, ::-1] * precision).sum(axis=1)
    return np.divide(gained, total, out=np.full(len(total), np.nan), where=total > 0)


def _by_score(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum the weights of positive and of negative cases at each distinct score: (D, T), (D, T), (T,), ascending."""
    order = np.argsort(scores, kind="stable")
    levels, starts = np.unique(scores[order], return_index=True)
    if not len(levels):
        empty = np.zeros((len(weights), 0))
        return empty, empty, levels
    ordered, positive = weights[:, order], truth[order]
    return (
        np.add.reduceat(ordered * positive, starts, axis=1),
        np.add.reduceat(ordered * ~positive, starts, axis=1),
        levels,
    )
