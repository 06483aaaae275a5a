"""Selective prediction: the error rate among the most confident answers of a network, for all draws of a bootstrap.

At coverage c, the share c of the images with the highest confidence is answered, and the rest is left to a reader.
"""

import numpy as np

from bus_lightning.metrics.columns import Bools, Floats, ratio
from bus_lightning.metrics.ranking import AT_ONCE


def area_under_risk_coverage(wrong: Bools, confidence: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Compute the mean error rate over all coverages, and that of the best possible order of the same answers.

    Answers of equal confidence are taken in random order: the area is the mean over these orders.

    Args:
        wrong: (n,) whether each answer is wrong.
        confidence: (n,) the higher, the earlier it is answered.
        weights: (D, n) whole numbers: how often each answer counts, in each of D draws; a draw of NaN has no answer.

    Returns:
        (D,) each, in [0, 1], NaN in a draw without an answer. The best order has all errors last; the first area minus
        the second is the excess area (E-AURC).

    References:
        El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11 (2010) 1605-1641.
        Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
    """
    weights = np.nan_to_num(weights)  # counts are positions in a table
    blocks = [
        _areas(*by_coverage(wrong, confidence, weights[first : first + AT_ONCE]))
        for first in range(0, max(1, len(weights)), AT_ONCE)
    ]
    areas, best = zip(*blocks, strict=True)
    return np.concatenate(areas), np.concatenate(best)


def _areas(errors: Floats, answers: Floats) -> tuple[Floats, Floats]:
    """Compute both areas from what `by_coverage` counts."""
    if not errors.shape[1]:
        return np.full(len(errors), np.nan), np.full(len(errors), np.nan)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, answers.max(initial=0) + 2))])
    reached = harmonic[answers.astype(np.int64)]
    start_errors, start_answers = _shifted(errors), _shifted(answers)
    own_errors, own_answers = errors - start_errors, answers - start_answers
    rate = np.divide(own_errors, own_answers, out=np.zeros(errors.shape), where=own_answers > 0)
    area = own_errors + (start_errors - rate * start_answers) * (reached - _shifted(reached))
    total, all_errors = answers[:, -1], errors[:, -1]
    right = (total - all_errors).astype(np.int64)
    best = all_errors - right * (harmonic[total.astype(np.int64)] - harmonic[right])
    return ratio(area.sum(axis=1), total), ratio(best, total)


def by_coverage(wrong: Bools, confidence: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Count errors and answers with at least each of the T distinct confidences, the highest first: (D, T) each."""
    order = np.argsort(-confidence, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(confidence[order])), len(confidence) - 1)[: len(confidence)]
    ordered = np.take(weights, order, axis=1)
    answers = np.cumsum(ordered, axis=1)[:, last_of_tie]
    errors = np.cumsum(ordered * wrong[order].astype(weights.dtype), axis=1)[:, last_of_tie]
    return errors, answers


def _shifted(counts: Floats) -> Floats:
    """Return the counts before each step: those after the step before it, and 0 before the first."""
    return np.concatenate([np.zeros_like(counts[:, :1]), counts[:, :-1]], axis=1)
