"""Intervals: the bootstrap over near-duplicate groups, and Wilson's interval of a share of independent cases.

Images of one group show the same frame and get nearly the same prediction, so groups are independent and images are
not. An interval that takes images as independent is too narrow.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

_LEVEL = 0.95


def group_draws(
    groups: Sequence[int], strata: Sequence[Hashable], draws: int = 2000, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draw near-duplicate groups with replacement; each draw takes as many groups of a stratum as the stratum has.

    The weight of an image in a draw is the multiplicity of its group. Each combination of classes within a group is a
    stratum. The group of a stratum with a single group is in every draw once; it adds no spread, and this makes the
    interval narrower.

    Args:
        groups: (n,) the near-duplicate group of each image.
        strata: (n,) the class of each image.
        draws: Number of draws.
        seed: The same seed gives the same draws, for any order of the images.

    Returns:
        The groups, sorted, (G,); and how often each is drawn, (draws, G) float32, non-negative whole numbers.

    Raises:
        ValueError: If groups and strata differ in length.

    References:
        Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007) 369-390.
    """
    classes: dict[int, set[Hashable]] = {}
    for group, stratum in zip(groups, strata, strict=True):
        classes.setdefault(int(group), set()).add(stratum)
    unique = np.array(sorted(classes), dtype=np.int64)
    columns: dict[tuple[Hashable, ...], list[int]] = {}
    for column, group in enumerate(unique):
        columns.setdefault(tuple(sorted(classes[int(group)], key=str)), []).append(column)
    generator = np.random.default_rng(seed)
    multiplicities = np.empty((draws, len(unique)), dtype=np.float32)
    for members in columns.values():
        size = len(members)
        multiplicities[:, members] = generator.multinomial(size, np.full(size, 1 / size), size=draws)
    return unique, multiplicities


def percentile_interval(draws_of_metric: NDArray[np.floating]) -> tuple[float, float]:
    """Return the middle 95% of the draws of a metric.

    Args:
        draws_of_metric: (D,) the metric in each draw; draws where it is undefined (NaN) are left out.

    Returns:
        2.5th and 97.5th percentile; (nan, nan) if more than half of the draws are undefined.
    """
    if not len(defined := _defined(draws_of_metric)):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def two_sided_p(draws_of_difference: NDArray[np.floating]) -> float:
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


def _defined(draws: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the draws that are defined; none if they are fewer than half."""
    defined = draws[~np.isnan(draws)]
    return defined if 2 * len(defined) >= len(draws) else defined[:0]


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Compute Wilson's 95% score interval of a share, without continuity correction.

    Args:
        successes: Number of successes.
        n: Number of independent cases; for images with near-duplicates use `group_draws`.

    Returns:
        Low and high, in [0, 1]; (nan, nan) for n = 0.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212.
    """
    if n == 0:
        return float("nan"), float("nan")
    interval = binomtest(successes, n).proportion_ci(confidence_level=_LEVEL, method="wilson")
    return float(interval.low), float(interval.high)
