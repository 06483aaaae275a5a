"""Comparisons: is one condition better than another on the same images, or can the two not be told apart?

What decides is the paired bootstrap over near-duplicate groups: both conditions are scored on the same draws, so that
images that are hard for both cancel out. Beside it stand the tests that the field knows, each on one image per group,
because they take images as independent.

The verdict is about the networks that were trained, seeds averaged, and the images that might have been drawn. It does
not say how another training would turn out: see the runs' own spread for that.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain, combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from bus_lightning.metrics.catalogue import LOWER_IS_BETTER
from bus_lightning.metrics.columns import Floats
from bus_lightning.metrics.per_case import Metrics, metrics_of
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import percentile_interval, two_sided_p
from bus_lightning.statistics.side_tests import SideTest, side_tests
from bus_lightning.statistics.summary import draws_of

LEVEL = 0.05
# Below this, a bootstrap has too few different draws to mean anything.
MIN_SHARED = 10
# All pairs of more conditions are so many that Holm's adjustment hides what there is to see.
MAX_ALL_PAIRS = 8
_NAN = float("nan")


@dataclass(frozen=True)
class Comparison:
    """Two conditions on the images that both answered; numbers are NaN where a reason is given.

    Attributes:
        a: Name of the first condition.
        b: Name of the second.
        task: classification or segmentation.
        part: val or test.
        metric: A name of `bus_lightning.metrics.per_case`.
        n: Images that both are compared on.
        groups: Near-duplicate groups of these images.
        left_out: Images of the part that only one of them, or not every replicate, has.
        replicates_a: Replicates of the first that are averaged.
        replicates_b: Those of the second.
        value_a: The metric of the first on these images, mean over its replicates.
        value_b: That of the second.
        difference: value_a - value_b.
        low: Lower end of the difference's 95% interval.
        high: Upper end.
        p: Two-sided, of the paired bootstrap, unadjusted.
        beside: Known tests beside it.
        reason: Why there is no comparison; else empty.
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
    p: float = _NAN
    beside: tuple[SideTest, ...] = ()
    reason: str = ""


def compare(a: Condition, b: Condition, part: str, metric: str, draws: int = 2000) -> Comparison:
    """Compare two conditions on the images of a part that both have.

    Args:
        a: The first condition.
        b: The second, of the same task.
        part: `val` or `test`.
        metric: A name of `bus_lightning.metrics.per_case`.
        draws: Draws of the bootstrap. p is at least 2 / (draws + 1).

    Returns:
        The difference with its interval and p, or the reason why there is none: another task, too few shared images,
        images that differ in class or grouping, a metric that is undefined here.
    """
    return _Bootstrap(part, draws).compare(a, b, metric)


def compare_all(
    conditions: list[Condition], part: str, metric: str | list[str], draws: int = 2000, reference: str | None = None
) -> pd.DataFrame:
    """Compare the conditions of each task with each other, p adjusted by Holm for how many comparisons there are.

    Args:
        conditions: The conditions; their names are unique.
        part: `val` or `test`.
        metric: A name of `bus_lightning.metrics.per_case`, or several: they share the draws, and each is adjusted by
            itself.
        draws: Draws of the bootstrap.
        reference: Compare all with the condition of this name, as `b`. None: all pairs, and where a task has more than
            `MAX_ALL_PAIRS` conditions, all with its first. It is to be chosen before looking: comparing with whichever
            came out best makes differences look larger than they are.

    Returns:
        A row per comparison: the columns of `Comparison`, `<test>_p` of each test beside (unadjusted), `p_holm`,
        `comparisons` (how many p is adjusted for: those of its task and metric), `verdict` ("A better", "B better",
        "cannot be told apart" or "not compared") and `text`, the same as a sentence.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65-70.
    """
    bootstrap = _Bootstrap(part, draws)
    tables = []
    for task in dict.fromkeys(condition.task for condition in conditions):
        pairs = _pairs([condition for condition in conditions if condition.task == task], reference)
        for name in [metric] if isinstance(metric, str) else metric:
            tables.append(_adjusted([bootstrap.compare(a, b, name) for a, b in pairs]))
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else _adjusted([])


def _pairs(members: list[Condition], reference: str | None) -> list[tuple[Condition, Condition]]:
    if reference is None and len(members) > MAX_ALL_PAIRS:
        reference = members[0].name
    if reference is None:
        return list(combinations(members, 2))
    return [(a, b) for b in members if b.name == reference for a in members if a is not b]


def _adjusted(comparisons: list[Comparison]) -> pd.DataFrame:
    """Put the comparisons of one task into a table, with Holm's p and what follows from it."""
    names = ("mcnemar", "delong", "wilcoxon")
    rows = [
        {key: value for key, value in vars(found).items() if key != "beside"}
        | {f"{name}_p": next((test.p for test in found.beside if test.name == name), _NAN) for name in names}
        | {"n_independent": next((test.n for test in found.beside), 0)}
        for found in comparisons
    ]
    columns = [field.name for field in fields(Comparison) if field.name != "beside"]
    columns += [*(f"{name}_p" for name in names), "n_independent"]
    table = pd.DataFrame(rows, columns=columns)
    defined = table["p"].notna()
    table["p_holm"] = _NAN
    table["comparisons"] = int(defined.sum())
    if defined.any():
        table.loc[defined, "p_holm"] = multipletests(table.loc[defined, "p"], method="holm")[1]
    table["verdict"] = [_verdict(row.metric, row.difference, row.p_holm) for row in table.itertuples()]
    table["text"] = [_sentence(row) for row in table.to_dict("records")]
    return table


def _verdict(metric: str, difference: float, p: float) -> str:
    if np.isnan(p):
        return "not compared"
    if p >= LEVEL:
        return "cannot be told apart"
    return "A better" if (difference > 0) != (metric in LOWER_IS_BETTER) else "B better"


def _sentence(row: dict[str, Any]) -> str:
    """Say it with the better one first, so that all numbers are of the first against the second."""
    one, other = ("b", "a") if row["verdict"] == "B better" else ("a", "b")
    first, second = row[one], row[other]
    if row["verdict"] == "not compared":
        return f"{first} and {second} were not compared: {row['reason']}."
    apart = row["verdict"] != "cannot be told apart"
    low, high = (row["low"], row["high"]) if one == "a" else (-row["high"], -row["low"])
    times = "comparison" if row["comparisons"] == 1 else "comparisons"
    return (
        (f"{first} is better than {second}" if apart else f"{first} and {second} cannot be told apart")
        + f" on {row['n']} {row['part']} images: {row['metric']} {_number(row[f'value_{one}'])} against "
        f"{_number(row[f'value_{other}'])}, difference {_number(row[f'value_{one}'] - row[f'value_{other}'])} "
        f"(95% interval {_number(low)} to {_number(high)}), {_p_text(row['p_holm'])} adjusted for "
        f"{row['comparisons']} {times}."
    )


def _number(value: float) -> str:
    return f"{value + 0:.3f}" if abs(value) < 10 else f"{value:.1f}"  # adding 0 turns -0 into 0


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


# Replicates by the images that they have: those of one split lie together.
_Sets = dict[frozenset[str], list[int]]


class _Side:
    """One condition on the images that it is compared on; metrics and draws are worked out once, when asked for."""

    def __init__(self, condition: Condition, part: str, sets: _Sets, draws: int) -> None:
        cases = condition.part(part)
        parts = [cases[cases["replicate"].isin(those) & cases["id"].isin(ids)] for ids, those in sets.items()]
        self.cases = pd.concat([part.sort_values(["replicate", "id"]) for part in parts], ignore_index=True)
        self.images = self.cases.drop_duplicates("id").set_index("id").sort_index()
        # Groups are numbered anew, in the order of their smallest ids, so that both sides have the same draws.
        self.images["group"] = pd.factorize(self.images["group"])[0]
        self.cases["group"] = self.images["group"].reindex(self.cases["id"]).to_numpy("int64")
        self._draws = draws

    @cached_property
    def independent(self) -> pd.DataFrame:
        """The first replicate's case of one image, that of the smallest id, of each group."""
        first = self.cases[self.cases["replicate"] == self.cases["replicate"].iloc[0]]
        return first.sort_values("id").drop_duplicates("group").set_index("id")

    @cached_property
    def metrics(self) -> list[Metrics]:
        """Those of each replicate."""
        return [metrics_of(replicate) for _, replicate in self.cases.groupby("replicate")]

    @cached_property
    def drawn(self) -> dict[str, Floats]:
        """Metrics in each draw, averaged over replicates."""
        return draws_of(self.cases, self._draws)

    def why_undefined(self, metric: str) -> str:
        """Say why a metric is undefined on these images; empty where it is not."""
        without = [found for found in self.metrics if found.get(metric) is None]
        return without[0]["undefined"].get(metric, "the cases do not tell it") if without else ""


class _Bootstrap:
    """Compare conditions, preparing each once for each set of images."""

    def __init__(self, part: str, draws: int) -> None:
        self.part, self.draws = part, draws
        self._sides: dict[tuple[Any, ...], _Side] = {}
        self._sets: dict[str, _Sets] = {}

    def compare(self, a: Condition, b: Condition, metric: str) -> Comparison:
        names = (a.name, b.name, a.task, self.part, metric)
        if a.task != b.task:
            return Comparison(*names, reason=f"{a.name} is {a.task} and {b.name} is {b.task}")
        if a.task == "classification" and set(a.classes) != set(b.classes):
            of_a, of_b = (", ".join(side.classes) for side in (a, b))
            return Comparison(*names, reason=f"{a.name} has the classes {of_a}, and {b.name} has {of_b}")
        all_a, all_b = self._sets_of(a), self._sets_of(b)
        sets_a, sets_b = _shared(all_a, all_b)
        n = len(frozenset().union(*sets_a))
        left_out = len(frozenset().union(*all_a, *all_b)) - n
        if n < MIN_SHARED:
            few = f"they share {n} {self.part} images, fewer than {MIN_SHARED}"
            return Comparison(*names, n=n, left_out=left_out, reason=few)
        side_a, side_b = self._side(a, sets_a), self._side(b, sets_b)
        counts = {
            "n": n,
            "groups": side_a.images["group"].nunique(),
            "left_out": left_out,
            "replicates_a": len(side_a.metrics),
            "replicates_b": len(side_b.metrics),
        }
        for column, what in (("label", "class"), ("group", "near-duplicates")):
            if differ := int((side_a.images[column] != side_b.images[column]).sum()):
                return Comparison(*names, **counts, reason=f"{differ} shared images differ in {what}")
        for side, name in ((side_a, a.name), (side_b, b.name)):
            if why := side.why_undefined(metric):
                return Comparison(*names, **counts, reason=f"{metric} of {name} is undefined: {why}")
        value_a, value_b = (float(np.mean([found[metric] for found in side.metrics])) for side in (side_a, side_b))
        differences = side_a.drawn[metric] - side_b.drawn[metric]
        differences[np.abs(differences) < 1e-6] = 0  # a tie up to rounding is a tie
        low, high = percentile_interval(differences)
        return Comparison(
            *names,
            **counts,
            value_a=value_a,
            value_b=value_b,
            difference=value_a - value_b,
            low=low,
            high=high,
            p=two_sided_p(differences),
            beside=tuple(side_tests(a.task, side_a.independent, side_b.independent)),
            reason="" if np.isfinite(low) else f"{metric} is undefined in most draws",
        )

    def _sets_of(self, condition: Condition) -> _Sets:
        if condition.name not in self._sets:
            sets = self._sets[condition.name] = {}
            for replicate, cases in condition.part(self.part).groupby("replicate"):
                sets.setdefault(frozenset(cases["id"]), []).append(replicate)
        return self._sets[condition.name]

    def _side(self, condition: Condition, sets: _Sets) -> _Side:
        key = (condition.name, *((ids, *those) for ids, those in sets.items()))
        if key not in self._sides:
            self._sides[key] = _Side(condition, self.part, sets, self.draws)
        return self._sides[key]


def _shared(a: _Sets, b: _Sets) -> tuple[_Sets, _Sets]:
    """Choose what to compare on: sets of images that both have, or else the images that all replicates of both have.

    Where several sets are shared (splits of several seeds), both get as many replicates of each: no image is to weigh
    more in one condition than in the other.
    """
    both = [ids for ids in a if ids in b]
    if not both:
        ids = frozenset.intersection(*a, *b) if a and b else frozenset()
        return {ids: [*chain(*a.values())]}, {ids: [*chain(*b.values())]}
    most = min(len(sets[ids]) for sets in (a, b) for ids in both) if len(both) > 1 else None
    return {ids: a[ids][:most] for ids in both}, {ids: b[ids][:most] for ids in both}
