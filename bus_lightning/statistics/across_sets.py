"""Trained on one data set, tested on another: the cases of each pair of sets, from runs and their evaluations."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.columns import cases_of_task
from bus_lightning.runs.evaluations import Evaluation, find_evaluations, read_evaluation
from bus_lightning.runs.sets import Sets, sets_of, sets_of_ids
from bus_lightning.statistics.conditions import Condition


@dataclass(frozen=True)
class Cell:
    """The test images of one data set, as the networks of a condition saw them.

    Attributes:
        tested: Name of the data set.
        condition: The condition, reduced to these cases; none if all evaluations were of images seen in training.
        is_own: Whether the networks were trained on other images of the same set.
        images: Number of images.
        groups: Number of groups, the units of the intervals: patients and near-duplicates.
        patients: Number of patients; None if not every image has one.
        runs: Number of runs with these images.
        seen: Number of images that a run has seen in training, if these cases are left out for it.
    """

    tested: str
    condition: Condition
    is_own: bool = False
    images: int = 0
    groups: int = 0
    patients: int | None = None
    runs: int = 0
    seen: int = 0

    @property
    def missing(self) -> list[str]:
        """The classes that the networks predict and that have no test image."""
        present = set(self.condition.cases["label"])
        return [name for name in self.condition.predicted_classes or () if name not in present]


@dataclass(frozen=True)
class Row:
    """A condition on every data set that it was tested on.

    Attributes:
        condition: The condition.
        trained: Names of its training sets.
        cells: Name of a test set -> cell.
    """

    condition: Condition
    trained: tuple[str, ...]
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Across:
    """Training sets by test sets.

    Attributes:
        rows: A row for each condition, by training sets.
        tested: Names of the test sets: first the training sets, so that a set's own cell is on the diagonal.
        described: Name of a set -> its description, as `Sets` has it.
    """

    rows: list[Row]
    tested: list[str]
    described: Mapping[str, Mapping[str, Any]]


def read_across(conditions: Sequence[Condition]) -> Across:
    """Read the cells of conditions of one task; a damaged file leaves its cell out, and the report's checks name it."""
    rows, described = list[Row](), dict[str, Mapping[str, Any]]()
    for condition in conditions:
        if condition.is_cross_fitted:
            continue
        evaluations = list(_evaluations(condition))
        own = _own_sets(condition, evaluations)
        for sets in [*own.values(), *(evaluation.sets for _, evaluation in evaluations)]:
            for name, values in sets.described.items():
                known = described.get(name, {})
                if name not in described or values.get("images", 0) > known.get("images", 0):
                    described[name] = values
        first = next((sets for sets in own.values() if sets.trained), None)
        if first:
            cells = {cell.tested: cell for cell in _own_cells(condition, own, first)}
            cells |= {cell.tested: cell for cell in _other_cells(condition, evaluations) if cell.tested not in cells}
            rows.append(Row(condition, first.trained, cells))
    rows.sort(key=lambda row: (len(row.trained), row.trained))
    trained = [name for row in rows for name in row.trained]
    names = list(dict.fromkeys([*trained, *(name for row in rows for name in row.cells)]))
    return Across(rows, names, {name: described[name] for name in names if name in described})


def _evaluations(condition: Condition) -> Iterator[tuple[str, Evaluation]]:
    """Read the evaluations of every run: name of the run and evaluation, the newest of each run first."""
    for run in condition.runs:
        with suppress(DamagedError):
            for folder in find_evaluations(run):
                with suppress(DamagedError):
                    yield run.path.name, read_evaluation(folder, condition.predicted_classes)


def _own_sets(condition: Condition, evaluations: Sequence[tuple[str, Evaluation]]) -> dict[str, Sets]:
    """Return the data sets of each run; of a run without sets.json, those of an evaluation of its own images."""
    own = {}
    for run in condition.runs:
        name = run.path.name
        again = (other for of, other in evaluations if of == name and other.split.hash == condition.splits[name].hash)
        evaluation = next(again, None)
        with suppress(DamagedError):
            sets = sets_of(run, condition.config, condition.splits[name])
            is_older = not any("images" in values for values in sets.described.values())
            own[name] = evaluation.sets if is_older and evaluation else sets
    return own


def _own_cells(condition: Condition, own: Mapping[str, Sets], first: Sets) -> Iterator[Cell]:
    """Divide the test images of the runs by data set."""
    test = condition.part("test")
    set_of = pd.Series(sets_of_ids(test["id"], list(first.described)), index=test.index, dtype=object)
    for name in first.described:
        cases = test[set_of == name]
        if len(cases):
            first_replicate = cases[cases["replicate"] == cases["replicate"].min()]
            counts = [
                own[run].parts.get("test", {}).get(name, {}) for run in first_replicate["run"].unique() if run in own
            ]
            yield _cell(condition, name, cases, counts, is_own=name in first.trained)


def _other_cells(condition: Condition, evaluations: Sequence[tuple[str, Evaluation]]) -> Iterator[Cell]:
    """Collect the newest evaluation of each run on each data set; the runs of a cell have the same images."""
    of_sets: dict[str, dict[str, Evaluation]] = {}
    seen: dict[str, int] = {}
    for run, evaluation in evaluations:
        if evaluation.cases.empty:  # of another part than test
            continue
        for name in evaluation.sets.parts.get("test", {}):
            if evaluation.sets.seen:
                seen[name] = max(seen.get(name, 0), evaluation.sets.seen)
            else:
                of_sets.setdefault(name, {}).setdefault(run, evaluation)
    for name, by_run in of_sets.items():
        cases = {run: _cases_in(evaluation, name) for run, evaluation in by_run.items()}
        newest = next(iter(cases.values()))
        same = {run: table for run, table in cases.items() if set(table["id"]) == set(newest["id"])}
        tables = [
            cases_of_task(condition.task, table).assign(run=run, replicate=number)
            for number, (run, table) in enumerate(same.items())
        ]
        first = by_run[next(iter(same))]
        if len(newest):
            own = replace(condition, networks=first.networks)  # an ensemble averages those of all folds here
            yield _cell(own, name, pd.concat(tables, ignore_index=True), [first.sets.parts["test"][name]])
    for name, number in seen.items():
        if name not in of_sets:
            yield Cell(name, _reduced(condition, condition.cases[:0]), seen=number)


def _cases_in(evaluation: Evaluation, name: str) -> pd.DataFrame:
    sets = sets_of_ids(evaluation.cases["id"], list(evaluation.sets.described))
    return evaluation.cases[[each == name for each in sets]]


def _cell(condition: Condition, name: str, cases: pd.DataFrame, counts: Sequence[Mapping[str, int | None]],
          is_own: bool = False) -> Cell:  # fmt: skip
    """Make a cell; `counts` are those of the parts that make up its first replicate."""
    first = cases[cases["replicate"] == cases["replicate"].min()]
    patients = [count.get("patients") for count in counts]
    is_whole = sum(count.get("images") or 0 for count in counts) == len(first)
    known = [number for number in patients if number is not None]
    return Cell(
        name, _reduced(condition, cases), is_own, len(first), first["group"].nunique(),
        sum(known) if is_whole and len(known) == len(patients) else None, cases["run"].nunique(),
    )  # fmt: skip


def _reduced(condition: Condition, cases: pd.DataFrame) -> Condition:
    return replace(condition, cases=cases, splits={})
