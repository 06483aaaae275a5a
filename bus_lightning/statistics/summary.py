"""The numbers of a condition: each metric with its 95% interval, and its spread over runs."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bus_lightning.core.cache import keep_cached, read_cached
from bus_lightning.metrics.columns import Floats
from bus_lightning.metrics.per_case import metrics_of, weighted_metrics
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import AT_ONCE, group_draws, percentile_interval

VERSION = 6  # of the cached content: raise it when a metric or an interval is computed in another way
DRAWS = 2000
COLUMNS = [
    *("metric", "value", "low", "high", "se", "se_of_one", "n", "mean_of_runs", "sd_of_runs", "runs", "reason"),
]


def summarise(condition: Condition, part: str, cache: Path | None = None) -> pd.DataFrame:
    """Compute every metric of one part with its interval.

    The value is the mean over the replicates: folds are pooled (each image counts once), and seeds are averaged. The
    interval is the percentile bootstrap over groups (see `group_draws`) with 2,000 draws and the same groups for every
    replicate. It covers the choice of images, but not the choice of seeds; see `sd_of_runs`.

    Args:
        condition: The runs.
        part: val or test.
        cache: Folder that keeps the result under the hash of the cases; None always computes it.

    Returns:
        A row per metric: `metric`, `value`, `low`, `high`, `se` (standard deviation of the value over the draws),
        `se_of_one` (that of a single replicate, root mean square), `n` (images of a replicate), `mean_of_runs`,
        `sd_of_runs` (NaN for one run), `runs`, `reason` (why it is undefined, else empty). Empty if the part has no
        images.
    """
    cases = condition.part(part).reset_index(drop=True)
    file = cache / f"{_hash(cases)}.json" if cache else None
    if file and (cached := read_cached(file, _parse)) is not None:
        return cached
    rows = _summarised(cases)
    if file:
        keep_cached(file, json.dumps(rows, indent=1).encode())  # NaN as Python writes and reads it
    return pd.DataFrame(rows, columns=COLUMNS)


def _parse(content: bytes) -> pd.DataFrame:
    """Read the rows of a cached summary."""
    return pd.DataFrame([{column: row[column] for column in COLUMNS} for row in json.loads(content)], columns=COLUMNS)


def _summarised(cases: pd.DataFrame) -> list[dict[str, Any]]:
    if cases.empty:
        return []
    replicates = [table for _, table in cases.groupby("replicate")]
    per_replicate = [metrics_of(table) for table in replicates]
    if all(table["run"].nunique() == 1 for table in replicates):  # no folds: the same tables, in the order of the runs
        by_run = {table["run"].iloc[0]: metrics for table, metrics in zip(replicates, per_replicate, strict=True)}
        per_run = [by_run[run] for run in sorted(by_run)]
    else:
        per_run = [metrics_of(table) for _, table in cases.groupby("run")]
    drawn = _draws_by_replicate(cases, DRAWS)
    rows = []
    for name in per_replicate[0]:
        if name in ("n", "undefined"):
            continue
        values = [metrics[name] for metrics in per_replicate]
        why = next((metrics["undefined"][name] for metrics in per_replicate if metrics[name] is None), "")
        own = np.stack([draws[name] for draws in drawn])
        low, high = (np.nan, np.nan) if why else percentile_interval(own.sum(axis=0) / len(own))
        is_spread = np.isfinite(low)
        over_runs = [metrics[name] for metrics in per_run if metrics[name] is not None]
        rows.append(
            {
                "metric": name,
                "value": np.nan if why else float(np.mean(values)),
                "low": low,
                "high": high,
                "se": float(np.nanstd(own.mean(axis=0), ddof=1)) if is_spread else np.nan,
                "se_of_one": float(np.sqrt(np.nanmean(np.nanvar(own, axis=1, ddof=1)))) if is_spread else np.nan,
                "n": len(cases) // len(replicates),
                "mean_of_runs": float(np.mean(over_runs)) if over_runs else np.nan,
                "sd_of_runs": float(np.std(over_runs, ddof=1)) if len(over_runs) > 1 else np.nan,
                "runs": len(per_run),
                "reason": why,
            }
        )
    return rows


def draws_of(
    cases: pd.DataFrame, draws: int = DRAWS, seed: int = 0, only: Collection[str] | None = None
) -> dict[str, Floats]:
    """Compute every metric, or some, in each bootstrap draw, averaged over replicates.

    Args:
        cases: Cases of one part, with `replicate`, `group` and `label`.
        draws: Number of draws.
        seed: Seed of the draws.
        only: Keys of the metrics that are needed; None computes all.

    Returns:
        Metric -> (draws,) float, NaN where undefined.
    """
    drawn = _draws_by_replicate(cases, draws, seed, only)
    return {name: np.asarray(sum(own[name] for own in drawn) / len(drawn)) for name in drawn[0]} if drawn else {}


def _draws_by_replicate(
    cases: pd.DataFrame, draws: int, seed: int = 0, only: Collection[str] | None = None
) -> list[dict[str, Floats]]:
    """Compute every metric of each replicate in each draw; a group has the same weight in all replicates."""
    groups, multiplicities = group_draws(cases["group"].tolist(), cases["label"].tolist(), draws, seed)
    drawn = []
    for _, table in cases.groupby("replicate"):
        columns = np.searchsorted(groups, table["group"])
        step = max(1, AT_ONCE // max(1, len(table)))
        chunks = [
            weighted_metrics(table, np.take(multiplicities[start : start + step], columns, axis=1), only)
            for start in range(0, draws, step)
        ]
        drawn.append({name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]})
    return drawn


def value_of(summary: pd.DataFrame, metric: str, column: str = "value") -> float:
    """Look up a number in a summary; NaN if the summary does not contain the metric."""
    values = summary.loc[summary["metric"] == metric, column]
    return float(values.iloc[0]) if len(values) else float("nan")


def _hash(cases: pd.DataFrame) -> str:
    content = pd.util.hash_pandas_object(cases.drop(columns="run"), index=False).to_numpy().tobytes()
    return hashlib.blake2b(content + f"{VERSION} {DRAWS} {list(cases)}".encode(), digest_size=12).hexdigest()
