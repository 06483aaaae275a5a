"""Choose a threshold for the probability of a class on images that are not tested."""

import math

import numpy as np

from bus_lightning.metrics.columns import Bools, Floats


def choose_threshold(scores: Floats, is_positive: Bools, sensitivity: float) -> dict[str, float | int]:
    """Choose the highest threshold with a sensitivity in (0, 1], which has the fewest false positives.

    An image is flagged if its score, the probability of the positive class, (n,), reaches the threshold.

    Returns:
        `threshold`, between two scores; its `sensitivity` and `specificity` on these images; `asked`, the required
        sensitivity; `positives` and `negatives`, their numbers.
    """
    positive = np.sort(scores[is_positive])[::-1]
    needed = max(1, math.ceil(sensitivity * len(positive) - 1e-9))
    lowest = positive[needed - 1]
    below = scores[scores < lowest]
    # Between two scores, so that rounding moves no image across.
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


def choose_balanced_threshold(scores: Floats, is_positive: Bools) -> dict[str, float | int]:
    """Choose the threshold with the highest sum of sensitivity and specificity; of equal ones the highest.

    Arguments and result are those of `choose_threshold`; there must be a positive and a negative image.

    References:
        Youden, "Index for rating diagnostic tests", Cancer 3 (1950) 32-35.
    """
    positive, negative = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    levels = np.unique(positive)  # the best threshold always lies just below a positive image
    reached = 1 - np.searchsorted(positive, levels) / len(positive)
    refused = np.searchsorted(negative, levels) / len(negative)
    index = (reached + refused).round(12)
    best = len(index) - 1 - int(index[::-1].argmax())
    return choose_threshold(scores, is_positive, float(reached[best]))
