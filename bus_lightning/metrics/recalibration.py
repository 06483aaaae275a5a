"""Calibration intercept and slope: logistic regression of the outcome on the logit of the predicted probability.

All draws of a bootstrap are fitted at once, by Newton's method. The values are those of a logistic regression without
penalty.
"""

import numpy as np

from bus_lightning.metrics.columns import Bools, Floats

_STEPS = 25
_LONGEST = 2.0  # of a step, in standard deviations of the logits: a longer one may leave the basin of the optimum


def calibration_slope(truth: Bools, logits: Floats, weights: Floats) -> Floats:
    """Fit the slope of the outcome on the logit; 1 is ideal, below 1 the probabilities are too extreme.

    Args:
        truth: (n,) whether each case is positive.
        logits: (n,) finite logit of its predicted probability.
        weights: (D, n) how often each case counts, in each of D draws.

    Returns:
        (D,); NaN in a draw whose positive and negative cases the logits separate, because its slope is infinite; in one
        whose cases all have the same logit; and in one without a positive or without a negative case.

    References:
        Cox, "Two further applications of a model for binary regression", Biometrika 45 (1958) 562-565.
        Van Calster et al., "A calibration hierarchy for risk models was defined: from utopia to empirical data",
        J. Clin. Epidemiol. 74 (2016) 167-176: weak calibration.
    """
    spread = float(logits.std()) if len(logits) else 0.0
    if spread < 1e-12:
        return np.full(len(weights), np.nan)
    scaled = (logits - logits.mean()) / spread
    fitted = _fit(truth, weights, np.zeros(len(logits)), np.stack([np.ones(len(logits)), scaled], axis=1))[:, 1]
    return np.where(_overlap(truth, logits, weights), fitted / spread, np.nan)


def calibration_intercept(truth: Bools, logits: Floats, weights: Floats) -> Floats:
    """Fit the intercept with the slope fixed at 1; 0 is ideal, below 0 the probabilities are too high on average.

    Arguments and references are those of `calibration_slope`.

    Returns:
        (D,); NaN in a draw without a positive or without a negative case.
    """
    return _fit(truth, weights, logits, np.ones((len(logits), 1)))[:, 0]


def _overlap(truth: Bools, logits: Floats, weights: Floats) -> Bools:
    """Say for each draw whether some positive case has a higher logit than some negative one, and some a lower: (D,).

    Otherwise there is no best slope. Newton's method does not show it: rounding may end its steps anywhere.

    References:
        Albert and Anderson, "On the existence of maximum likelihood estimates in logistic regression models",
        Biometrika 71 (1984) 1-10.
    """
    order = np.argsort(logits, kind="stable")
    ordered, is_drawn = logits[order], weights[:, order] > 0
    ends = []
    for kind in (truth[order], ~truth[order]):
        own = is_drawn & kind
        ends.append((ordered[own.argmax(axis=1)], ordered[len(order) - 1 - own[:, ::-1].argmax(axis=1)]))
    (lowest_positive, highest_positive), (lowest_negative, highest_negative) = ends
    return np.asarray((highest_positive > lowest_negative) & (lowest_positive < highest_negative))


def _fit(truth: Bools, weights: Floats, offset: Floats, columns: Floats) -> Floats:
    """Fit logistic regressions on columns (n, P), P = 1 or 2, with an offset (n,): (D, P), NaN without an optimum."""
    fitted = np.full((len(weights), columns.shape[1]), np.nan)
    positive, total = weights @ truth.astype(weights.dtype), weights.sum(axis=1)
    rows = np.flatnonzero((positive > 0) & (positive < total))
    if not len(rows):
        return fitted
    start = _newton(truth, np.ones((1, len(truth))), offset, columns, np.zeros((1, columns.shape[1])))
    start = np.nan_to_num(start).astype(weights.dtype)
    fitted[rows] = _newton(truth, weights[rows], offset, columns, np.repeat(start, len(rows), axis=0))
    return fitted


def _newton(truth: Bools, weights: Floats, offset: Floats, columns: Floats, start: Floats) -> Floats:
    """Take Newton's steps from a start (D, P), until every draw has converged; NaN where one does not."""
    kind = weights.dtype
    outcome, offset, columns = truth.astype(kind), offset.astype(kind), columns.astype(kind)
    products = columns[:, :, None] * columns[:, None, :]
    size = columns.shape[1]
    enough = 1e-9 if kind == np.float64 else 1e-2  # the error after a step is of the order of its square
    result, active = np.full(start.shape, np.nan), np.arange(len(weights))
    current = start.astype("float64")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(_STEPS):
            own = weights if len(active) == len(weights) else weights[active]
            linear = current.astype(kind) @ columns.T + offset
            probability = 1 / (1 + np.exp(-linear))
            gradient = ((own * (outcome - probability)) @ columns).astype("float64")
            curvature = (own * probability * (1 - probability)) @ products.reshape(len(outcome), -1)
            step = _solve(curvature.astype("float64").reshape(-1, size, size), gradient)
            current = current + np.clip(step, -_LONGEST, _LONGEST)
            is_done = np.abs(step).max(axis=1) < enough
            if size == 1:  # of certain answers: many intercepts are equally good, and the curvature says nothing
                is_done |= np.abs(gradient[:, 0]) < 1e-3 * enough * own.sum(axis=1)
            result[active[is_done]] = current[is_done]
            keep = ~is_done & np.isfinite(current).all(axis=1)
            active, current = active[keep], current[keep]
            if not len(active):
                break
    return result


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    """Solve symmetric systems of one or two equations: (D, P, P) and (D, P) -> (D, P), not finite where singular."""
    if matrices.shape[1] == 1:
        return vectors / matrices[:, 0]
    (a, b), d = matrices[:, 0].T, matrices[:, 1, 1]
    x, y = vectors.T
    return np.stack([d * x - b * y, a * y - b * x], axis=1) / (a * d - b * b)[:, None]
