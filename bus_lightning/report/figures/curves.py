"""The numbers behind the curves: weighted ROC, net benefit and calibration, all draws of a bootstrap at once.

In all functions `weights` is (D, n), a row per draw: how often each image counts. A row of ones gives the value itself.
"""

import numpy as np
from numpy.typing import NDArray

from bus_lightning.statistics.intervals import percentile_interval

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


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
        start = np.where(np.isnan(shares[:, :1]), np.nan, 0.0)
        return np.concatenate([start, shares], axis=1)

    return rates(~positive), rates(positive)


def rate_at(fpr: Floats, tpr: Floats, grid: Floats) -> Floats:
    """Read true positive rates off ROC curves at fixed false positive rates.

    Args:
        fpr: (D, T + 1), rising.
        tpr: (D, T + 1).
        grid: (G,) in [0, 1], rising.

    Returns:
        (D, G); on a vertical step its upper end; NaN where the curve is.
    """
    undefined = np.isnan(fpr).any(axis=1) | np.isnan(tpr).any(axis=1)
    fpr, tpr = np.nan_to_num(fpr), np.nan_to_num(tpr)
    # One search for all rows: row d lives in [2d, 2d + 1]. Rounding makes 3/10 and 0.3 the same step.
    rows = 2.0 * np.arange(len(fpr))[:, None]
    steps, wanted = (np.round(values, 9) + rows for values in (fpr, np.broadcast_to(grid, (len(fpr), len(grid)))))
    left = np.searchsorted(steps.ravel(), wanted.ravel(), side="right").reshape(wanted.shape) - 1
    last = (np.arange(1, len(fpr) + 1) * fpr.shape[1] - 1)[:, None]
    right = np.minimum(left + 1, last)
    x, y = fpr.ravel(), tpr.ravel()
    width = x[right] - x[left]
    share = np.divide(grid - x[left], width, out=np.zeros_like(width), where=width > 0).clip(0, 1)
    found = y[left] + share * (y[right] - y[left])
    found[undefined] = np.nan
    return found


def net_benefit(truth: Bools, scores: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Compute the net benefit of treating the images whose score reaches a threshold.

    Args:
        truth: (n,) whether the image is of the class.
        scores: (n,) probability of the class.
        weights: (D, n).
        thresholds: (T,) in (0, 1).

    Returns:
        (D, T): true positives less false positives times the odds of the threshold, per image; NaN in a draw without
        an image.

    References:
        Vickers and Elkin, "Decision curve analysis", Medical Decision Making 26 (2006) 565-574.
    """
    treated = scores[:, None] >= thresholds[None, :]
    gain = treated * np.where(truth[:, None], 1.0, -(thresholds / (1 - thresholds))[None, :])
    with np.errstate(invalid="ignore"):
        return (weights @ gain) / weights.sum(axis=1, keepdims=True)


def mean_in(values: Floats, weights: Floats) -> Floats:
    """Compute weighted means (D,) of values (n,), leaving out those that are NaN; NaN where no weight is left."""
    there = ~np.isnan(values)
    kept = np.asarray(weights, dtype=np.float64)[:, there]
    with np.errstate(invalid="ignore"):
        return (kept @ values[there]) / kept.sum(axis=1)


def band(draws: Floats) -> tuple[Floats, Floats]:
    """Take the 95% interval of each column.

    Args:
        draws: (D, G).

    Returns:
        Low and high, each (G,).
    """
    found = np.array([percentile_interval(column) for column in draws.T]).reshape(-1, 2)
    return found[:, 0], found[:, 1]
