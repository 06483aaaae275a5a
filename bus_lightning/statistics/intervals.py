"""Intervals: the bootstrap over groups of images, and Wilson's interval of a share of independent cases.

A group is what a split keeps together: near-duplicates, and the images of a patient. Its images get similar
predictions, so groups are independent and images are not. An interval that takes images as independent is too narrow.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from statistics import harmonic_mean

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, t

from bus_lightning.metrics.columns import Floats

Estimate = tuple[float, float, float]  # value, low and high end of its 95% interval
AT_ONCE = 4_000_000  # weights in memory, draws times images
_LEVEL = 0.95
_FEW_MIXED = 0.1  # share of groups with several classes up to which classes are strata


def group_draws(
    groups: Sequence[int], strata: Sequence[Hashable], draws: int = 2000, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draw groups with replacement.

    The weight of an image in a draw is the multiplicity of its group. Groups of one class are drawn within their class,
    as many as there are. If more than a tenth of the groups has several classes, which is common for patients, they are
    drawn from all groups together, and fewer than there are: so many that a mean gets the interval of Student's t for
    the number of groups that a class has (their harmonic mean over the classes), but at least half.

    Up to that tenth, each combination of classes is a stratum. The group of a stratum with a single group is in every
    draw once; it adds no spread, and this makes the interval narrower. With many combinations of few groups, it would
    be much too narrow. If no stratum has a second group, every draw would be the same, and the interval would have no
    width: all counts are then NaN, and so is every interval.

    Args:
        groups: (n,) the group of each image.
        strata: (n,) the class of each image.
        draws: Number of draws.
        seed: The same seed gives the same draws, for any order of the images.

    Returns:
        The groups, sorted, (G,); and how often each is drawn, (draws, G) float32, non-negative whole numbers or NaN.
        The arrays are read-only, because calls with the same arguments share them.

    Raises:
        ValueError: If groups and strata differ in length.

    References:
        Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007) 369-390.
        Bickel, Götze and van Zwet, "Resampling fewer than n observations", Statistica Sinica 7 (1997) 1-31.
        Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69 (2015) 371-386.
    """
    return _draw(tuple(map(int, groups)), tuple(strata), draws, seed)


@lru_cache(maxsize=4)  # conditions that were tested on the same images share their draws
def _draw(
    groups: tuple[int, ...], strata: tuple[Hashable, ...], draws: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    classes: dict[int, set[Hashable]] = {}
    for group, stratum in zip(groups, strata, strict=True):
        classes.setdefault(group, set()).add(stratum)
    unique = np.array(sorted(classes), dtype=np.int64)
    is_mixed = sum(len(own) > 1 for own in classes.values()) > _FEW_MIXED * len(classes)
    columns: dict[tuple[Hashable, ...], list[int]] = {}
    for column, group in enumerate(unique):
        key = () if is_mixed else tuple(sorted(classes[int(group)], key=str))
        columns.setdefault(key, []).append(column)
    multiplicities = np.full((draws, len(unique)), np.nan, dtype=np.float32)
    if any(len(members) > 1 for members in columns.values()):
        generator = np.random.default_rng(seed)
        groups_of_class = Counter(stratum for own in classes.values() for stratum in own)
        for members in columns.values():
            number = len(members)
            size = _fewer(number, harmonic_mean(groups_of_class.values())) if is_mixed else number
            multiplicities[:, members] = generator.multinomial(size, np.full(number, 1 / number), size=draws)
    return _read_only(unique, multiplicities)


def _read_only(groups: NDArray[np.int64], times: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    groups.flags.writeable = times.flags.writeable = False
    return groups, times


def _fewer(number: int, independent: float) -> int:
    """Return how many groups to draw so that the spread of a mean is widened to that of Student's t.

    The spread of the draws is that of a mean of `number` values, by a variance with the divisor n. The interval that
    fits few values has the divisor n - 1 and the quantile of t in place of the normal one.
    """
    independent = max(2.0, independent)
    quantile = (1 + _LEVEL) / 2
    share = (1 - 1 / independent) * float(norm.ppf(quantile) / t.ppf(quantile, independent - 1)) ** 2
    return max(-(-number // 2), round(number * share))


def in_draws(
    cases: pd.DataFrame,
    draws: int,
    compute: Callable[[Floats], Floats],
    dtype: type[np.floating] = np.float32,
    only: int | None = None,
) -> Floats:
    """Compute something of the cases as they are, and of each draw of their groups.

    The weights of all draws can be larger than the memory, so they exist for a block of draws at a time.

    Args:
        cases: Columns `group` and `label`; the replicates of an image have the same weight.
        draws: Number of draws.
        compute: Gets weights (D, n), how often each case counts in each of D draws, and returns an array (D, ...).
        dtype: Type of the weights. Sums of counts are exact in float32; sums of shares need float64.
        only: Number of rows to compute, the first ones; None computes all.

    Returns:
        (1 + draws, ...). In the first row, each case counts once. In the others, the weights are NaN where nothing can
        be drawn (`group_draws`).
    """
    groups, times = group_draws(cases["group"].tolist(), cases["label"].tolist(), draws)
    columns = np.searchsorted(groups, cases["group"])
    times = np.concatenate([np.ones((1, len(groups)), times.dtype), times])[:only]
    step = max(1, AT_ONCE // max(1, len(cases)))
    return np.concatenate(
        [
            compute(np.take(times[start : start + step], columns, axis=1).astype(dtype, copy=False))
            for start in range(0, len(times), step)
        ]
    )


def with_interval(values: Floats) -> Estimate:
    """Return the value in the first row of `in_draws` with its interval over the other rows; NaN if undefined."""
    if not np.isfinite(values[0]):
        return float("nan"), float("nan"), float("nan")
    return float(values[0]), *percentile_interval(values[1:])


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """Compute the median of values (n,) under each row of weights (D, n): the least value that half the weight reaches.

    Two middle values of equal weight are averaged, as in an ordinary median. (D,), NaN in a row without weight.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(np.asarray(weights, dtype=np.float64)[:, order], axis=1)
    half = reached[:, -1:] / 2
    lower = (reached < half).sum(axis=1)
    upper = (reached <= half).sum(axis=1)
    ordered = np.append(values[order], values[order][-1])
    return np.where(half[:, 0] > 0, (ordered[lower] + ordered[upper]) / 2, np.nan)


def percentile_interval(draws_of_metric: Floats) -> tuple[float, float]:
    """Return the middle 95% of the draws of a metric.

    Args:
        draws_of_metric: (D,) the metric in each draw; draws where it is undefined (NaN) are left out.

    Returns:
        2.5th and 97.5th percentile; (nan, nan) if more than half of the draws are undefined.
    """
    if not len(defined := _defined(draws_of_metric)):
        return float("nan"), float("nan")
    low, high = percentiles(defined)
    return float(low), float(high)


def percentiles(draws: Floats) -> Floats:
    """Return the 2.5th and the 97.5th percentile over the first axis: (D, ...) -> (2, ...)."""
    return np.asarray(np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0))


def two_sided_p(draws_of_difference: Floats) -> float:
    """Compute p from the share of the draws of a difference that lie on the other side of zero.

    Args:
        draws_of_difference: (D,) the difference in each draw; draws where it is undefined (NaN) are left out.

    Returns:
        In [2 / (D + 1), 1], never 0, because the draws are a sample. NaN if more than half of them are undefined.

    References:
        Davison and Hinkley, "Bootstrap methods and their application", Cambridge University Press (1997), chapter 4.
    """
    if not len(defined := _defined(draws_of_difference)):
        return float("nan")
    rarer = min(np.sum(defined <= 0), np.sum(defined >= 0))
    return min(1.0, float(2 * (rarer + 1) / (len(defined) + 1)))


def _defined(draws: Floats) -> Floats:
    """Return the draws that are defined; none if they are fewer than half."""
    defined = draws[~np.isnan(draws)]
    return defined if 2 * len(defined) >= len(draws) else defined[:0]


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Compute Wilson's 95% score interval of a share, without continuity correction.

    Args:
        successes: Number of successes.
        n: Number of independent cases; for images in groups use `group_draws`.

    Returns:
        Low and high, in [0, 1]; (nan, nan) for n = 0.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212.
    """
    if n == 0:
        return float("nan"), float("nan")
    interval = binomtest(successes, n).proportion_ci(confidence_level=_LEVEL, method="wilson")
    return float(interval.low), float(interval.high)
