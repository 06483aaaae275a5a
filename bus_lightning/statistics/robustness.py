"""How much corrupted images change the metrics of a condition, paired with the same images as they are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from bus_lightning.core.cache import keep_cached, read_cached
from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.columns import cases_of_task
from bus_lightning.runs.robustness import CLEAN, LEVELS, Level, read_robustness
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.paired_bootstrap import Comparison, PairedBootstrap
from bus_lightning.statistics.summary import DRAWS, VERSION


@dataclass(frozen=True)
class Corrupted:
    """The metric of a condition on corrupted test images.

    Attributes:
        level: The corruption and its strength.
        runs: Number of runs that were tested on it.
        compared: `a` is the condition on corrupted images, `b` on the same images as they are.
    """

    level: Level
    runs: int
    compared: Comparison


def compare_corrupted(
    condition: Condition, metrics: Sequence[str], draws: int = DRAWS, cache: Path | None = None
) -> list[Corrupted]:
    """Compare a condition on corrupted test images with itself on the images as they are.

    Both have the same draws of groups. Of a condition with several runs, those that were tested at a level are
    compared with the same runs. A run whose files are damaged is left out; the report's checks name it.

    Args:
        condition: The condition, of one task.
        metrics: Keys of the metrics.
        draws: Number of draws of the bootstrap.
        cache: Folder that keeps the result under the hash of the cases; None always computes it.

    Returns:
        One for each level and metric, in the order of the levels; empty if no run was tested.
    """
    tables = _read_tables(condition)
    if not any(tables.values()):
        return []
    digest = _hash(tables, condition.replicates, condition.task, metrics, draws)
    file = cache / f"robustness-{digest}.json" if cache else None
    if file and (cached := read_cached(file, _parse)) is not None:
        return cached
    bootstrap, compared = PairedBootstrap("test", draws), list[Corrupted]()
    for level in LEVELS[1:]:
        runs = [run for run, levels in tables.items() if level in levels]
        if not runs:
            continue
        clean = _joined(condition, tables, runs, CLEAN)
        corrupted = _joined(condition, tables, runs, level)
        compared += [Corrupted(level, len(runs), bootstrap.compare(corrupted, clean, metric)) for metric in metrics]
    if file:
        keep_cached(file, json.dumps([asdict(each) for each in compared]).encode())  # NaN as Python writes it
    return compared


def _parse(content: bytes) -> list[Corrupted]:
    """Read cached comparisons."""
    return [
        Corrupted(Level(**row["level"]), int(row["runs"]), Comparison(**row["compared"])) for row in json.loads(content)
    ]


def _hash(tables: Mapping[str, Mapping[Level, pd.DataFrame]], *further: object) -> str:
    """Hash the cases, and what else decides the numbers."""
    digest = hashlib.blake2b(repr((VERSION, *further)).encode(), digest_size=12)
    for run, levels in tables.items():
        for level, cases in levels.items():
            digest.update(f"{run} {level.file} {list(cases)}".encode())
            digest.update(pd.util.hash_pandas_object(cases, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _read_tables(condition: Condition) -> dict[str, dict[Level, pd.DataFrame]]:
    """Read the tables of each run."""
    tables = {}
    for run in condition.runs:
        try:
            name, task = run.path.name, str(condition.config.task.name)
            tables[name] = read_robustness(run, task, condition.classes, condition.splits[name])
        except DamagedError:
            continue
    return tables


def _joined(
    condition: Condition, tables: dict[str, dict[Level, pd.DataFrame]], runs: Sequence[str], level: Level
) -> Condition:
    """Return the condition with the cases of one level instead of its own."""
    replicates = condition.replicates
    cases = [
        cases_of_task(condition.task, tables[run][level]).assign(run=run, replicate=replicates[run]) for run in runs
    ]
    name = f"{level.file}: {', '.join(runs)}"
    return replace(condition, name=name, cases=pd.concat(cases, ignore_index=True), splits={})
