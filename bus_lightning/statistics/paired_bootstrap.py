"""Compare two conditions by the paired bootstrap over groups.

Both conditions are scored on the same draws, so images that are hard for both cancel out. The result is about the
networks that were trained, averaged over seeds, and about the images that could have been drawn. It does not say how
another training would turn out; the spread of the runs does.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np
import pandas as pd

from bus_lightning.metrics.columns import Floats
from bus_lightning.metrics.per_case import Metrics, metrics_of
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import percentile_interval, two_sided_p
from bus_lightning.statistics.paired_tests import paired_tests
from bus_lightning.statistics.summary import draws_of

MIN_SHARED = 10  # images: with fewer, a bootstrap has too few different draws to mean anything
_NAN = float("nan")
# A set of images -> the replicates that were evaluated on exactly these images, such as those of one split.
_ImageSets = dict[frozenset[str], list[int]]


@dataclass(frozen=True)
class Comparison:
    """Two conditions on the images that both have; numbers are NaN if there is a reason.

    Attributes:
        a, b: Names of the conditions.
        task: classification or segmentation.
        part: val or test.
        metric: Key of the metric.
        n: Number of images that both are compared on.
        groups: Number of groups, near-duplicates or patients, of these images.
        left_out: Number of images of the part that only one of the two, or not every replicate, has.
        replicates_a, replicates_b: Number of replicates that are averaged.
        value_a, value_b: The metric on these images, mean over the replicates.
        difference: value_a - value_b.
        low, high: 95% interval of the difference.
        se: Standard deviation of the difference over the draws.
        p: Two-sided, of the paired bootstrap, unadjusted.
        n_independent: Number of images of the classical tests, one of each group.
        tests: Name of a classical test -> its p, two-sided, unadjusted.
        reason: Why the two were not compared; else empty.
    """

    a: str
    b: str
    task: str
    part: str
    metric: str
    n: int = 0
    groups: int = 0
    left_out: int = 0
    replicates_a: int = 0
    replicates_b: int = 0
    value_a: float = _NAN
    value_b: float = _NAN
    difference: float = _NAN
    low: float = _NAN
    high: float = _NAN
    se: float = _NAN
    p: float = _NAN
    n_independent: int = 0
    tests: dict[str, float] = field(default_factory=dict)
    reason: str = ""


class PairedBootstrap:
    """Compare conditions pair by pair; each condition is drawn once for each set of images.

    Args:
        part: `val` or `test`.
        draws: Number of draws. p is at least 2 / (draws + 1).
    """

    def __init__(self, part: str, draws: int) -> None:
        self.part, self.draws = part, draws
        self._sides: dict[tuple[object, ...], _Side] = {}
        self._image_sets: dict[str, _ImageSets] = {}

    def compare(self, a: Condition, b: Condition, metric: str) -> Comparison:
        """Compare two conditions by a metric on the images of the part that both have.

        Returns:
            The difference with its interval and p, or the reason why there is none: another task, other classes or
            other data, too few shared images, images that differ in class or grouping, a metric that is undefined here.
        """
        names = (a.name, b.name, a.task, self.part, metric)
        if a.task != b.task:
            return Comparison(*names, reason=f"{a.name} is {a.task} and {b.name} is {b.task}")
        if a.task == "classification" and set(a.classes) != set(b.classes):
            of_a, of_b = (", ".join(condition.classes) for condition in (a, b))
            return Comparison(*names, reason=f"{a.name} has the classes {of_a}, and {b.name} has {of_b}")
        if a.files and b.files and a.files != b.files:  # equal ids are then other images
            return Comparison(*names, reason="their images come from different data")
        all_a, all_b = self._image_sets_of(a), self._image_sets_of(b)
        shared_a, shared_b = _shared(all_a, all_b)
        n = len(frozenset().union(*shared_a))
        left_out = len(frozenset().union(*all_a, *all_b)) - n
        if n < MIN_SHARED:
            few = f"they share {n} {self.part} images, fewer than {MIN_SHARED}"
            return Comparison(*names, n=n, left_out=left_out, reason=few)
        side_a, side_b = self._side(a, shared_a), self._side(b, shared_b)
        counts = {
            "n": n,
            "groups": side_a.images["group"].nunique(),
            "left_out": left_out,
            "replicates_a": len(side_a.replicates),
            "replicates_b": len(side_b.replicates),
        }
        if counts["groups"] < 2:
            alone = "all shared images are near-duplicates or of one patient"
            return Comparison(*names, **counts, reason=alone)
        for column, word in (("label", "class"), ("group", "group")):
            if differ := int((side_a.images[column] != side_b.images[column]).sum()):
                return Comparison(*names, **counts, reason=f"{differ} shared images differ in {word}")
        for side, name in ((side_a, a.name), (side_b, b.name)):
            if why := side.why_undefined(metric):
                return Comparison(*names, **counts, reason=f"{metric} of {name} is undefined: {why}")
        value_a, value_b = side_a.value_of(metric), side_b.value_of(metric)
        differences = side_a.drawn(metric) - side_b.drawn(metric)
        differences[np.abs(differences) < 1e-6] = 0  # a tie up to rounding is a tie
        low, high = percentile_interval(differences)
        n_independent, tests = paired_tests(a.task, side_a.independent, side_b.independent)
        return Comparison(
            *names,
            **counts,
            value_a=value_a,
            value_b=value_b,
            difference=value_a - value_b,
            low=low,
            high=high,
            se=float(np.nanstd(differences, ddof=1)) if np.isfinite(low) else _NAN,
            p=two_sided_p(differences),
            n_independent=n_independent,
            tests=tests,
            reason="" if np.isfinite(low) else f"{metric} is undefined in most draws",
        )

    def _image_sets_of(self, condition: Condition) -> _ImageSets:
        if condition.name not in self._image_sets:
            sets: _ImageSets = defaultdict(list)
            for replicate, cases in condition.part(self.part).groupby("replicate"):
                sets[frozenset(cases["id"])].append(replicate)
            self._image_sets[condition.name] = dict(sets)
        return self._image_sets[condition.name]

    def _side(self, condition: Condition, sets: _ImageSets) -> "_Side":
        key = (condition.name, *((ids, *replicates) for ids, replicates in sets.items()))
        if key not in self._sides:
            self._sides[key] = _Side(condition.part(self.part), sets, self.draws)
        return self._sides[key]


class _Side:
    """One condition on the images of a comparison; a metric and its draws are computed once, on first use."""

    def __init__(self, cases: pd.DataFrame, sets: _ImageSets, draws: int) -> None:
        parts = [cases[cases["replicate"].isin(numbers) & cases["id"].isin(ids)] for ids, numbers in sets.items()]
        self.cases = pd.concat([part.sort_values(["replicate", "id"]) for part in parts], ignore_index=True)
        self.images = self.cases.drop_duplicates("id").set_index("id").sort_index()
        # Groups are numbered again, in the order of their smallest ids, so that both sides have the same draws.
        self.images["group"] = pd.factorize(self.images["group"])[0]
        self.cases["group"] = self.images["group"].reindex(self.cases["id"]).to_numpy("int64")
        self._draws = draws
        self._metrics: dict[str, list[Metrics]] = {}
        self._drawn: dict[str, Floats] = {}

    @cached_property
    def independent(self) -> pd.DataFrame:
        """The first replicate's case of one image of each group, the one with the smallest id."""
        first = self.cases[self.cases["replicate"] == self.cases["replicate"].iloc[0]]
        return first.sort_values("id").drop_duplicates("group").set_index("id")

    @cached_property
    def replicates(self) -> list[pd.DataFrame]:
        """The cases of each replicate."""
        return [replicate for _, replicate in self.cases.groupby("replicate")]

    def metrics(self, metric: str) -> list[Metrics]:
        """Compute a metric of each replicate."""
        if metric not in self._metrics:
            self._metrics[metric] = [metrics_of(replicate, (metric,)) for replicate in self.replicates]
        return self._metrics[metric]

    def drawn(self, metric: str) -> Floats:
        """Compute a metric in each draw, averaged over the replicates."""
        if metric not in self._drawn:
            self._drawn[metric] = draws_of(self.cases, self._draws, only=(metric,))[metric]
        return self._drawn[metric]

    def value_of(self, metric: str) -> float:
        """Average a metric over the replicates."""
        return float(np.mean([metrics[metric] for metrics in self.metrics(metric)]))

    def why_undefined(self, metric: str) -> str:
        """Return why a metric is undefined on these images; empty if it is defined."""
        lacking = [metrics for metrics in self.metrics(metric) if metrics.get(metric) is None]
        return lacking[0]["undefined"].get(metric, "it cannot be computed from these cases") if lacking else ""


def _shared(a: _ImageSets, b: _ImageSets) -> tuple[_ImageSets, _ImageSets]:
    """Choose the images to compare on: the sets that both have, or else the images that all replicates of both have.

    If several sets are shared (splits of several seeds), both get the same number of replicates of each, so that no
    image weighs more in one condition than in the other.
    """
    both = [ids for ids in a if ids in b]
    if not both:
        ids = frozenset.intersection(*a, *b) if a and b else frozenset()
        return {ids: [*chain(*a.values())]}, {ids: [*chain(*b.values())]}
    most = min(len(sets[ids]) for sets in (a, b) for ids in both) if len(both) > 1 else None
    return {ids: a[ids][:most] for ids in both}, {ids: b[ids][:most] for ids in both}
