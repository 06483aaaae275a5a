"""What the page of results shows: which groups make which table, and the goals; read from a YAML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_lightning.config.fields import check_fields
from bus_lightning.config.kinds import FLAG, NAME, NAMES, TEXT, Kind, list_of, nullable, number, one_of, whole
from bus_lightning.config.schema import check_value
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import read_yaml
from bus_lightning.metrics.catalogue import BY_TASK, TITLES, title_of

GOALS, MISSING, PROTOCOL = "goals", "missing", "protocol"  # markers of the page that are not tables of its plan
HEADLINE = "headline"  # marker of the table in other pages
_KINDS = ("scores", "across")
_METRIC = Kind("a metric as in metrics.json", lambda value: _is_metric(value))
_METRICS = Kind("a list of metrics as in metrics.json", lambda value: (
    isinstance(value, list) and bool(value) and all(map(_is_metric, value))
))  # fmt: skip
_PAPER = Kind("a mapping: metric -> [where, metric] of the paper's numbers", lambda value: (
    isinstance(value, dict) and all(isinstance(place, list) and len(place) == 2 for place in value.values())
))  # fmt: skip
_TABLE: dict[str, Kind] = {
    "groups": NAMES,
    "task": one_of(*BY_TASK),
    "metrics": _METRICS,
    "kind": one_of(*_KINDS),
    "part": one_of("val", "test"),
    "models": NAMES,
    "seeds": list_of(whole(0), "a list of whole numbers"),
    "paper": _PAPER,
    "baselines": FLAG,
}
_GOAL: dict[str, Kind] = {
    "question": TEXT,
    "groups": NAMES,
    "task": one_of(*BY_TASK),
    "metric": _METRIC,
    "goal": number(),
    "least": nullable(number()),
    "at_most": nullable(number()),
    "elsewhere": nullable(TEXT),
    "tested": nullable(NAME),
    "ensemble": FLAG,
}
_SUMMARY: dict[str, Kind] = {
    "metric": _METRIC,
    "columns": Kind("a mapping: heading -> name of a table", lambda value: (
        isinstance(value, dict) and bool(value) and all(isinstance(each, str) for each in (*value, *value.values()))
    )),
}  # fmt: skip
_NEEDED = {
    "tables": ("groups", "task", "metrics"),
    "summary": ("metric", "columns"),
    "goals": ("question", "groups", "task", "metric", "goal"),
}


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        name: Its marker on the page.
        groups: Folders of runs, `runs/<group>`.
        task: classification or segmentation.
        metrics: Keys of metrics; a column of each.
        kind: `scores`, a row of each condition, or `across`, training sets in rows and test sets in columns.
        part: val or test.
        models: Models that are expected; those without a complete run are named.
        seeds: Seeds that are expected of each condition.
        paper: Metric -> table of the paper and the metric in it, whose numbers are shown next to those of the runs.
        baselines: Whether simple classifiers without a network are rows, too, where `evaluate.py baselines=true` made
            them.
    """

    name: str
    groups: tuple[str, ...]
    task: str
    metrics: tuple[str, ...]
    kind: str = "scores"
    part: str = "test"
    models: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    paper: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    baselines: bool = False


@dataclass(frozen=True)
class SummaryTable:
    """A table of the summary page: one metric of several tables side by side.

    Attributes:
        name: Its marker on the summary page.
        metric: Key of the metric.
        columns: Heading -> name of a table of the plan that has the metric.
    """

    name: str
    metric: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Goal:
    """A goal.

    Attributes:
        question: What is measured, in words.
        groups: The groups of the runs that may answer it; the planned condition is in the first.
        task: classification or segmentation.
        metric: Key of a metric.
        goal: The value to reach.
        least: The value to reach at least; None without one.
        at_most: The upper end of the range to reach, which begins at `goal`; None without one.
        elsewhere: The best number found elsewhere, with its source.
        tested: Name of the data set of the test images, if it is not that of the training.
        ensemble: Whether the planned condition is an ensemble.
    """

    question: str
    groups: tuple[str, ...]
    task: str
    metric: str
    goal: float
    least: float | None = None
    at_most: float | None = None
    elsewhere: str | None = None
    tested: str | None = None
    ensemble: bool = False


@dataclass(frozen=True)
class Plan:
    """The tables and the goals of a page, and the tables of the summary page."""

    tables: tuple[Table, ...]
    goals: tuple[Goal, ...]
    summary: tuple[SummaryTable, ...] = ()

    @property
    def groups(self) -> list[str]:
        """The groups, each once, in the order of the tables."""
        named = [each.groups for each in self.tables] + [each.groups for each in self.goals]
        return list(dict.fromkeys(group for groups in named for group in groups))


def _is_metric(key: Any) -> bool:
    return isinstance(key, str) and (key in TITLES or title_of(key) != key)


def read_plan(path: Path) -> Plan:
    """Read the plan of a page.

    Raises:
        UserError: If the file is missing, or a value is impossible: one line that names the field.
    """
    try:
        content = read_yaml(path, cure="Correct it")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; name the plan of the page.") from None
    if unknown := sorted(content.keys() - {"tables", "summary", "goals"}):
        raise UserError(f"{path}: {unknown[0]} is unknown: choose from tables, summary, goals.")
    is_mapping = Kind("a mapping of tables", lambda value: isinstance(value, dict))
    check_value(f"{path}: tables", content.get("tables"), is_mapping)
    check_value(f"{path}: summary", content.get("summary") or {}, is_mapping)
    check_value(
        f"{path}: goals", content.get("goals") or [], Kind("a list of goals", lambda value: isinstance(value, list))
    )
    short = content.get("summary") or {}
    for key, names in ("tables", content["tables"]), ("summary", short):
        if taken := sorted({GOALS, MISSING, PROTOCOL, HEADLINE} & names.keys()):
            raise UserError(f"{path}: {key}.{taken[0]}: the page has a table of this name already; choose another.")
        for name in names:
            check_value(f"{path}: name of a table", name, NAME)
    tables = [
        Table(name, **_checked(f"{path}: tables.{name}", fields, _TABLE, _NEEDED["tables"]))
        for name, fields in content["tables"].items()
    ]
    summary = [
        SummaryTable(name, **_checked(f"{path}: summary.{name}", fields, _SUMMARY, _NEEDED["summary"]))
        for name, fields in short.items()
    ]
    goals = [
        Goal(**_checked(f"{path}: goals[{place}]", fields, _GOAL, _NEEDED["goals"]))
        for place, fields in enumerate(content.get("goals") or [])
    ]
    for problem in (
        *map(_problem_of, tables),
        *(_without_column(table, tables) for table in summary),
        *(_unanswerable(place, goal, tables) for place, goal in enumerate(goals)),
    ):
        if problem:
            raise UserError(f"{path}: {problem}")
    return Plan(tuple(tables), tuple(goals), tuple(summary))


def _problem_of(table: Table) -> str:
    """Say what of a table could never be filled; empty if all can be."""
    place = f"tables.{table.name}"
    if table.kind == "across" and table.part == "val":
        return f"{place}.part=val: a table across data sets has test images only; remove part, or kind."
    if other := [key for key in table.metrics if not _is_of(table.task, key)]:
        return f"{place}.metrics: {other[0]} is no metric of task={table.task}; remove it, or correct the task."
    if other := [key for key in table.paper if key not in table.metrics]:
        return f"{place}.paper: {other[0]} is not among its metrics; add it there, or remove it here."
    return ""


def _without_column(summary: SummaryTable, tables: Sequence[Table]) -> str:
    """Say which column of a summary could never be filled; empty if all can be."""
    own = {table.name for table in tables if table.kind == "scores" and summary.metric in table.metrics}
    if other := [name for name in summary.columns.values() if name not in own]:
        return (
            f"summary.{summary.name}.columns: no table {other[0]} of the kind scores has the metric {summary.metric}; "
            "name one of the plan."
        )
    return ""


def _unanswerable(place: int, goal: Goal, tables: Sequence[Table]) -> str:
    """Say what of a goal could never be shown; empty if a table has its numbers."""
    if goal.at_most is not None and goal.at_most < goal.goal:
        return f"goals[{place}].at_most={goal.at_most:g} is below goal={goal.goal:g}: swap them."
    for group in goal.groups:
        if not any(
            group in table.groups and goal.metric in table.metrics and (table.task, table.part) == (goal.task, "test")
            and (not goal.tested or table.kind == "across") for table in tables
        ):  # fmt: skip
            where = " across data sets" if goal.tested else ""
            return f"goals[{place}]: no table{where} has {goal.metric} of test images of {group}; add it to a table."
    return ""


def _is_of(task: str, key: str) -> bool:
    return any(key == metric.key or (metric.per_class and key.startswith(f"{metric.key}_")) for metric in BY_TASK[task])


def _checked(place: str, fields: Any, kinds: Mapping[str, Kind], needed: tuple[str, ...]) -> dict[str, Any]:
    check_value(place, fields, Kind("a mapping of fields", lambda value: isinstance(value, dict)))
    check_fields(fields, kinds, needed, f"{place}.")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
