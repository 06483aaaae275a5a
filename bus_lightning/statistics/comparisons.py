"""Is one condition better than another on the same images, or can the two not be told apart?

The paired bootstrap decides, adjusted by Holm; the classical tests are listed next to it.
"""

from dataclasses import fields
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from bus_lightning.metrics.catalogue import LOWER_IS_BETTER
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.paired_bootstrap import Comparison, PairedBootstrap

LEVEL = 0.05
MAX_ALL_PAIRS = 8  # conditions: all pairs of more are so many that Holm's adjustment hides the differences
NOT_COMPARED = "not compared"  # the verdict on two conditions without shared images, classes or data
_TESTS = ("mcnemar", "delong", "wilcoxon")


def compare(a: Condition, b: Condition, part: str, metric: str, draws: int = 2000) -> Comparison:
    """Compare two conditions by a metric on the images of a part that both have; see `PairedBootstrap`."""
    return PairedBootstrap(part, draws).compare(a, b, metric)


def compare_all(
    conditions: list[Condition],
    part: str,
    metric: str | list[str],
    draws: int = 2000,
    reference: str | None = None,
    ensembles: bool = True,
) -> pd.DataFrame:
    """Compare the conditions of each task with each other; p is adjusted by Holm for the number of comparisons.

    Args:
        conditions: The conditions, with unique names.
        part: `val` or `test`.
        metric: Key of a metric, or several keys: they share the draws, and each is adjusted separately.
        draws: Number of draws of the bootstrap.
        reference: Name of the condition to compare all others with, as `b`. None compares all pairs, and if a task has
            more than `MAX_ALL_PAIRS` conditions, all with its first. Choose the reference before you look at results:
            comparing with the best one makes differences look larger than they are.
        ensembles: Whether ensembles are compared with the conditions whose networks they average, too.

    Returns:
        A row per comparison: the columns of `Comparison`; `<test>_p` of each classical test (unadjusted); `p_holm`;
        `comparisons`, the number that p is adjusted for (those of its task and metric); `verdict` ("A better",
        "B better", "cannot be told apart" or "not compared"); and `text`, the same as a sentence.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65-70.
    """
    bootstrap = PairedBootstrap(part, draws)
    tables = []
    for task in dict.fromkeys(condition.task for condition in conditions):
        pairs = _pairs([condition for condition in conditions if condition.task == task], reference, ensembles)
        for key in [metric] if isinstance(metric, str) else metric:
            tables.append(_adjusted([bootstrap.compare(a, b, key) for a, b in pairs]))
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else _adjusted([])


def _pairs(members: list[Condition], reference: str | None, ensembles: bool) -> list[tuple[Condition, Condition]]:
    if reference is None and len(members) > MAX_ALL_PAIRS:
        reference = members[0].name
    if reference is None:
        return list(combinations(members, 2))
    chosen = [(a, b) for b in members if b.name == reference for a in members if a is not b]
    others = [(a, b) for a in members for b in members if b.name != reference != a.name and _averages(a, b)]
    return chosen + others * ensembles


def _averages(ensemble: Condition, single: Condition) -> bool:
    """Say whether an ensemble averages networks of a condition."""
    return not {run.path for run in single.runs}.isdisjoint(ensemble.averaged)


def _adjusted(comparisons: list[Comparison]) -> pd.DataFrame:
    """Put the comparisons of one task and metric into a table, with Holm's p and the verdict."""
    columns = [field.name for field in fields(Comparison) if field.name not in ("tests", "n_independent")]
    rows = [vars(comparison) | {f"{test}_p": p for test, p in comparison.tests.items()} for comparison in comparisons]
    table = pd.DataFrame(rows, columns=[*columns, *(f"{test}_p" for test in _TESTS), "n_independent"])
    defined = table["p"].notna()
    table["p_holm"] = np.nan
    table["comparisons"] = int(defined.sum())
    if defined.any():
        table.loc[defined, "p_holm"] = multipletests(table.loc[defined, "p"], method="holm")[1]
    table["verdict"] = [_verdict(row.metric, row.difference, row.p_holm) for row in table.itertuples()]
    table["text"] = [_sentence(row) for row in table.to_dict("records")]
    return table


def _verdict(metric: str, difference: float, p: float) -> str:
    if np.isnan(p):
        return NOT_COMPARED
    if p >= LEVEL:
        return "cannot be told apart"
    return "A better" if (difference > 0) != (metric in LOWER_IS_BETTER) else "B better"


def _sentence(row: dict[str, Any]) -> str:
    """Write a comparison as a sentence; the better condition comes first, and the numbers follow this order."""
    first, second = ("b", "a") if row["verdict"] == "B better" else ("a", "b")
    if row["verdict"] == NOT_COMPARED:
        return f"{row[first]} and {row[second]} were not compared: {row['reason']}."
    apart = row["verdict"] != "cannot be told apart"
    value, other = row[f"value_{first}"], row[f"value_{second}"]
    low, high = (row["low"], row["high"]) if first == "a" else (-row["high"], -row["low"])
    return (
        (
            f"{row[first]} is better than {row[second]}"
            if apart
            else f"{row[first]} and {row[second]} cannot be told apart"
        )
        + f" on {row['n']} {row['part']} images: {row['metric']} {_number(value)} against {_number(other)}, "
        f"difference {_number(value - other)} (95% interval {_number(low)} to {_number(high)}), "
        f"{_p_text(row['p_holm'])} adjusted for {row['comparisons']} comparison{'s' * (row['comparisons'] != 1)}."
    )


def _number(value: float) -> str:
    return f"{value + 0:.3f}" if abs(value) < 10 else f"{value:.1f}"  # adding 0 turns -0 into 0


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
