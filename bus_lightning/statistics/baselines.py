"""The baselines of classifiers as conditions: one for all runs with the same splits, whatever their seeds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError
from bus_lightning.runs.baselines import BASELINES, read_baseline
from bus_lightning.statistics.conditions import Condition, make_names_unique
from bus_lightning.statistics.replicates import number_replicates

_Member = tuple[str, pd.DataFrame]  # name of a run, its cases


def baseline_conditions(conditions: Sequence[Condition]) -> list[Condition]:
    """Read the baselines of classifiers.

    A baseline depends on the split alone. Runs with the same split have the same one, so it is taken once: three seeds
    of a network count as one replicate. A damaged table is left out; the report's checks name it.

    Args:
        conditions: Classifiers; of joint networks, the columns of their classification.

    Returns:
        For each baseline, a condition for each set of splits that is not a part of a larger one.
    """
    made = [
        each
        for name, title in BASELINES.items()
        for each in _of_sets_of_splits([(condition, _members(condition, name)) for condition in conditions], title)
    ]
    make_names_unique(made)
    return made


def _of_sets_of_splits(known: Sequence[tuple[Condition, dict[str, _Member]]], title: str) -> Iterator[Condition]:
    """Make a condition for each set of splits, the largest first."""
    made: list[tuple[object, set[str]]] = []
    for condition, members in sorted(known, key=lambda each: -len(each[1])):
        data = (condition.files, tuple(condition.classes))
        if not members or any(other == data and set(members) <= splits for other, splits in made):
            continue
        made.append((data, set(members)))
        names = {name for name, _ in members.values()}
        yield replace(
            condition,
            name=title,
            model=title,
            task="classification",
            runs=[run for run in condition.runs if run.path.name in names],
            cases=_join(condition, members.values()),
            splits={name: condition.splits[name] for name in names},
        )


def _members(condition: Condition, name: str) -> dict[str, _Member]:
    """Read a baseline of each split of a condition: hash of the split -> the first run that has it."""
    members: dict[str, _Member] = {}
    if condition.is_cross_fitted:
        return members
    for run in condition.runs:
        split = condition.splits[run.path.name]
        if split.hash in members:
            continue
        try:
            cases = read_baseline(run, name, condition.classes, split)
        except DamagedError:
            continue
        if cases is not None:
            members[split.hash] = (run.path.name, cases.assign(run=run.path.name))
    return members


def _join(condition: Condition, members: Iterable[_Member]) -> pd.DataFrame:
    """Join the cases of splits; the folds of one division of the images are one replicate, whatever their runs' seeds.

    The first run of each fold may have another seed than that of the next fold, so the runs' replicates do not do.
    """
    own = dict(members)
    seeds = {run.path.name: load_config(run.config).data.split.get("seed") for run in condition.runs}
    tested = [cases.loc[cases["split"] == "test", "id"] for cases in own.values()]
    numbers = number_replicates([seeds[name] for name in own], tested)
    tables = [cases.assign(replicate=number) for cases, number in zip(own.values(), numbers, strict=True)]
    return pd.concat(tables, ignore_index=True)
