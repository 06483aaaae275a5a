"""What groups of runs lack for a page of results: groups, models, seeds, folds; and what does not belong together."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bus_lightning.config.stored import load_config
from bus_lightning.report.results.plan import Plan, Table
from bus_lightning.report.results.rows import Row
from bus_lightning.runs.protocol import Protocol
from bus_lightning.statistics.as_planned import compare_with_protocol
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import Condition, Group, of_task

NOT_RUN = "not run"  # of a model that a table expects
_NAMED = ("folds", "code", "data", "scope", "counts", "ensembles", "files")  # kinds of checks


@dataclass(frozen=True)
class Missing:
    """Something that is missing or mixed.

    Attributes:
        group: The group, or several with commas.
        about: The name of the group, a condition, a model or a run.
        text: What is missing.
    """

    group: str
    about: str
    text: str


def find_missing(
    plan: Plan, groups: Mapping[str, Group], reasons: Mapping[str, str], protocol: Protocol | None, rows: Sequence[Row]
) -> list[Missing]:
    """Find what is missing or mixed in the groups of a page.

    Args:
        plan: The page's plan.
        groups: Name -> group, of those that are there.
        reasons: Name -> why a group is not there.
        protocol: The written protocol, whose deviations are named for its groups; None without one.
        rows: The rows of the page; those of groups without a run are kept from an earlier page.
    """
    problems: list[Missing] = []
    shown = {row.group for row in rows}
    for name in plan.groups:
        if name in groups:
            problems += _of_group(groups[name], protocol)
        elif name not in shown:
            problems.append(Missing(name, name, reasons[name]))
    problems += [missing for table in plan.tables for missing in _expected(table, groups, rows)]
    return list(dict.fromkeys(problems))


def _of_group(group: Group, protocol: Protocol | None) -> Iterator[Missing]:
    name = group.path.name
    for row in group.left_out.to_dict("records"):
        reason = _without_folder(str(row["reason"]), group.path)
        yield Missing(name, str(row["run"]), reason.replace("is not complete: ", "not complete: "))
    for problem in find_problems(group.conditions):
        if problem.kind in _NAMED:
            yield Missing(name, problem.about, _without_folder(problem.text, group.path))
    for condition in group.conditions:
        yield from _repeated(condition)
    if protocol and any(planned.group == name for planned in protocol.conditions):
        compared = compare_with_protocol([group.path], protocol)
        for deviation in compared.deviations if compared else ():
            yield Missing(name, deviation.about, f"protocol: {_without_folder(deviation.text, group.path)}")


def _without_folder(text: str, group: Path) -> str:
    """Shorten the paths of files of a group, which differ from machine to machine."""
    return text.replace(f"{group}/", "")


def _expected(table: Table, groups: Mapping[str, Group], rows: Sequence[Row]) -> Iterator[Missing]:
    """Name the models and seeds that a table expects and that have no complete run."""
    there = [groups[name] for name in table.groups if name in groups]
    conditions = of_task((condition for group in there for condition in group.conditions), table.task)
    begun = {str(model) for group in there for model in group.left_out["model"]}
    shown = {row.model for row in rows if row.table == table.name}
    for model in table.models:
        if model not in shown | begun:
            yield Missing(", ".join(table.groups), model, NOT_RUN)
    for condition in conditions:
        if condition.is_ensemble:
            continue
        if lacking := sorted(set(table.seeds) - _seeds(condition)):
            text = f"seed{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))} not run, or not complete"
            yield Missing(condition.runs[0].path.parent.name, condition.name, text)


def _seeds(condition: Condition) -> set[int | None]:
    return {load_config(run.config).seed for run in condition.runs}


def _repeated(condition: Condition) -> Iterator[Missing]:
    """Name runs with the same seeds and fold: copies of a folder, or a training that was done again."""
    folders: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for run in condition.runs:
        config = load_config(run.config)
        folders[config.seed, config.data.split.seed, config.data.split.get("fold")].append(run.path.name)
    for (seed, _, fold), names in folders.items():
        if len(names) > 1 and not condition.is_cross_fitted:
            times = "twice" if len(names) == 2 else f"{len(names)} times"
            which = f"seed {seed}" if fold is None else f"seed {seed}, fold {fold}"
            yield Missing(
                condition.runs[0].path.parent.name,
                condition.name,
                f"{which} counts {times}: {', '.join(sorted(names))}",
            )


def missing_of(groups: Sequence[str], missing: Sequence[Missing]) -> list[Missing]:
    """Return what is missing in some groups."""
    return [each for each in missing if set(each.group.split(", ")) & set(groups)]
