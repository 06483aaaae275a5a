"""The numbers behind the curves: weighted ROC, net benefit and means, all draws of a bootstrap at once.

In all functions `weights` is (D, n), a row per draw: how often each image counts. A row of ones gives the value itself.
"""

import numpy as np

from bus_lightning.metrics.columns import Bools, Floats
from bus_lightning.statistics.intervals import percentile_interval, percentiles


def roc_curve(truth: Bools, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Compute weighted ROC curves.

    Args:
        truth: (n,) whether the image is of the class.
        scores: (n,) the higher, the more of the class.
        weights: (D, n).

    Returns:
        False and true positive rates, each (D, T + 1) for the T distinct scores from the highest down, beginning with
        0; NaN in a draw without an image of the class, or without one of the rest.

    References:
        Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006) 861-874.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    ordered, positive = np.asarray(weights, dtype=np.float64)[:, order], truth[order]

    def rates(counted: Bools) -> Floats:
        sums = np.cumsum(ordered * counted, axis=1)
        with np.errstate(invalid="ignore"):
            shares = sums[:, last_of_tie] / sums[:, -1:]
        return np.concatenate([0 * shares[:, :1], shares], axis=1)  # 0 * NaN is NaN

    return rates(~positive), rates(positive)


def rate_at(fpr: Floats, tpr: Floats, grid: Floats) -> Floats:
    """Read true positive rates off ROC curves at fixed false positive rates.

    Args:
        fpr: (D, T + 1), rising.
        tpr: (D, T + 1).
        grid: (G,) in [0, 1].

    Returns:
        (D, G); on a vertical step its upper end; NaN where the curve is.
    """
    # Rounding makes 3/10 and 0.3 the same step.
    places = grid.round(9)
    rates = [np.interp(places, x, y) for x, y in zip(fpr.round(9), tpr, strict=True)]
    return np.where(np.isnan(fpr + tpr).any(axis=1, keepdims=True), np.nan, rates)


def net_benefit(truth: Bools, scores: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Compute the net benefit of treating the images whose score reaches a threshold.

    Args:
        truth: (n,) whether the image is of the class.
        scores: (n,) probability of the class.
        weights: (D, n).
        thresholds: (T,) in (0, 1).

    Returns:
        (D, T): true positives minus false positives times the odds of the threshold, per image; NaN in a draw without
        an image.

    References:
        Vickers and Elkin, "Decision curve analysis", Medical Decision Making 26 (2006) 565-574.
    """
    treated = scores[:, None] >= thresholds[None, :]
    gain = treated * np.where(truth[:, None], 1.0, -(thresholds / (1 - thresholds))[None, :])
    with np.errstate(invalid="ignore"):
        return (weights @ gain) / weights.sum(axis=1, keepdims=True)


def mean_in(values: Floats, weights: Floats) -> Floats:
    """Compute weighted means (D,) of values (n,) that are not NaN; NaN if no weight is left."""
    known = ~np.isnan(values)
    kept = np.asarray(weights, dtype=np.float64)[:, known]
    with np.errstate(invalid="ignore"):
        return (kept @ values[known]) / kept.sum(axis=1)


def band(draws: Floats) -> tuple[Floats, Floats]:
    """Compute the 95% interval of each column: (D, G) -> low and high, each (G,)."""
    if not np.isnan(draws).any():
        low, high = percentiles(draws)
    else:
        low, high = np.array([percentile_interval(column) for column in draws.T]).reshape(-1, 2).T
    return low, high
