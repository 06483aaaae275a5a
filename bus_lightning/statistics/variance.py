"""How much a score would change with other images, with another training, and with another split.

The runs of a condition differ in seed, in the seed of the split, or in the fold. Runs with the same test images differ
by their training alone. Runs with other test images differ by the split: other training images, and other test images,
whose part is known from the bootstrap.

References:
    Bouthillier et al., "Accounting for variance in machine learning benchmarks", MLSys 2021.
    Bengio and Grandvalet, "No unbiased estimator of the variance of k-fold cross-validation", JMLR 5 (2004) 1089-1105:
    folds share training images, so the variance of their scores is too small for that of independent splits.
    Searle, Casella and McCulloch, "Variance components", Wiley (1992): the estimates from a nested layout.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import chi2

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import Estimate
from bus_lightning.statistics.summary import value_of

_NONE = (float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Spread:
    """The standard deviations of a score by their source; NaN where it cannot be estimated.

    Attributes:
        metric: Key of the metric.
        images: Over the choice of as many test images, for one training: that of the bootstrap over groups.
        seeds: Over trainings with the same test images, with the interval of the normal theory.
        seed_runs: Number of runs that it is estimated from.
        seed_sets: Number of sets of test images that have several runs.
        splits: Over splits: of the means of the runs of each set of test images.
        split_sets: Number of sets of test images.
        expected: What `splits` would be if only the images and the trainings differed; the images alone, if `seeds` is
            not known.
        beyond: What `splits` has beyond that: the square root of the difference of the squares, 0 if it is negative.
        undefined: Number of runs without the metric, left out.
    """

    metric: str
    images: float
    seeds: Estimate = _NONE
    seed_runs: int = 0
    seed_sets: int = 0
    splits: Estimate = _NONE
    split_sets: int = 0
    expected: float = float("nan")
    beyond: float = float("nan")
    undefined: int = 0


def spread_of(condition: Condition, summary: pd.DataFrame, metrics: list[str]) -> list[Spread]:
    """Estimate where the variance of the test scores of a condition comes from.

    Args:
        condition: The runs of one task.
        summary: `summarise` of its test images.
        metrics: Keys of metrics that the summary has.

    Returns:
        One for each metric that is defined.
    """
    runs = [(frozenset(cases["id"]), metrics_of(cases, metrics)) for _, cases in condition.part("test").groupby("run")]
    return [
        _spread(metric, runs, value_of(summary, metric, "se_of_one"), int(value_of(summary, metric, "n")))
        for metric in metrics
        if np.isfinite(value_of(summary, metric))
    ]


def _spread(metric: str, runs: list[tuple[frozenset[str], dict[str, float]]], images: float, n: int) -> Spread:
    known = [(ids, values[metric]) for ids, values in runs if values.get(metric) is not None]
    by_set: dict[frozenset[str], list[float]] = {}
    for ids, value in known:
        by_set.setdefault(ids, []).append(value)
    repeated = [np.array(values) for values in by_set.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    within = sum(float(((values - values.mean()) ** 2).sum()) for values in repeated) / freedom if freedom else np.nan
    spread = Spread(
        metric,
        images,
        seeds=_with_interval(within, freedom),
        seed_runs=sum(map(len, repeated)),
        seed_sets=len(repeated),
        split_sets=len(by_set),
        undefined=len(runs) - len(known),
    )
    if len(by_set) < 2:
        return spread
    between = float(np.var([np.mean(values) for values in by_set.values()], ddof=1))
    # A mean of n images has a variance of 1/n: a fold has fewer than all images, and a larger one.
    of_images = float(np.mean([images**2 * n / len(ids) for ids in by_set]))
    of_seeds = 0.0 if np.isnan(within) else float(np.mean([within / len(values) for values in by_set.values()]))
    return replace(
        spread,
        splits=_with_interval(between, len(by_set) - 1),
        expected=float(np.sqrt(of_images + of_seeds)),
        beyond=float(np.sqrt(max(0.0, between - of_images - of_seeds))),
    )


def _with_interval(variance: float, freedom: int) -> Estimate:
    """Return the standard deviation and its 95% interval, by the chi-squared distribution."""
    if not freedom:
        return _NONE
    low, high = (float(np.sqrt(variance * freedom / chi2.ppf(level, freedom))) for level in (0.975, 0.025))
    return float(np.sqrt(variance)), low, high
