"""From groups of runs to the page of results and its numbers for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_aside
from bus_lightning.report.extension import Extension
from bus_lightning.report.marked_page import fill_tables
from bus_lightning.report.results.goals import find_answers, judge, make_goals, make_headline
from bus_lightning.report.results.kept import Earlier, merge, read_earlier
from bus_lightning.report.results.missing import find_missing, missing_of
from bus_lightning.report.results.plan import Plan, Table, read_plan
from bus_lightning.report.results.rows import Row, make_rows
from bus_lightning.report.results.tables import make_missing, make_table
from bus_lightning.report.up_to_date import find_summaries
from bus_lightning.runs.protocol import Protocol, read_protocol
from bus_lightning.statistics.conditions import Group, read_group

GOALS, MISSING, PROTOCOL = "goals", "missing", "protocol"  # markers of the page that are not tables of its plan
HEADLINE = "headline"  # marker of the table in other pages


def make_results(
    runs: Path,
    page: Path,
    plan: Path,
    protocol: Path | None = None,
    extensions: Sequence[Extension] = (),
    summary: Path | None = None,
    only_runs: bool = False,
) -> list[str]:
    """Fill the tables of the page of results from the runs, and write the same numbers next to it as JSON.

    The same runs give the same bytes. What is missing is named, and the rest is shown. Conditions that have no run in
    the folder keep their numbers from the JSON, and the page names them.

    Args:
        runs: The folder of the groups.
        page: The page, Markdown with markers; the JSON has its name.
        plan: YAML that says which groups make which table, and the goals.
        protocol: The protocol of the study; None without one.
        extensions: Studies that know published numbers.
        summary: Another page, whose table `headline` shows the goals in short, such as README.md; None for none.
        only_runs: Show only what the runs give, and keep nothing of the JSON.

    Returns:
        Names of tables that have no marker on the page.

    Raises:
        UserError: If the page, its JSON, the plan or the protocol cannot be read, or there is neither a run nor a kept
            number.
    """
    planned, text = read_plan(plan), read_protocol(protocol) if protocol else None
    for file in filter(None, (page, summary)):
        if not file.is_file():
            raise UserError(f"{file}: there is no such page; name one with the markers of the tables.")
    record = page.with_suffix(".json")
    earlier = Earlier() if only_runs else read_earlier(record)
    groups, reasons = _read_groups(runs, planned)
    if not earlier.rows and not any(group.conditions for group in groups.values()):
        raise UserError(f"{runs} has no complete run of the groups in {plan}: {', '.join(planned.groups)}.")
    by_table: list[tuple[Table, list[Row]]] = []
    for table in planned.tables:
        there = [groups[name] for name in table.groups if name in groups]
        own = make_rows(table, there, extensions, find_summaries(runs))
        by_table.append((table, merge(own, earlier.rows, table.name, table.groups)))
    rows = [row for _, own in by_table for row in own]
    missing = find_missing(planned, groups, reasons, text, rows) + earlier.lack_of(rows, groups)
    tables = {
        table.name: make_table(table, own, extensions, missing_of(table.groups, missing)) for table, own in by_table
    }
    tables[GOALS], tables[MISSING] = make_goals(planned.goals, rows), make_missing(missing)
    tables[PROTOCOL] = _describe_protocol(text, protocol, rows)
    unplaced = fill_tables(page, tables)
    if summary:
        unplaced += fill_tables(summary, {HEADLINE: make_headline(planned.goals, rows)})
    goals = [
        asdict(goal) | {"reached": [
            {"role": answer.role, "condition": row.condition, "value": row.value, "low": row.low, "high": row.high,
             "n": row.n, "verdict": judge(goal, row)} for answer in find_answers(goal, rows) if (row := answer.row)
        ]} for goal in planned.goals
    ]  # fmt: skip
    content = {
        "protocol_sha256": text.hash if text else None,
        "rows": [asdict(row) for row in rows],
        "goals": goals,
        "missing": [asdict(each) for each in missing],
    }
    write_aside(record, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return unplaced


def _read_groups(runs: Path, plan: Plan) -> tuple[dict[str, Group], dict[str, str]]:
    """Read the groups of a plan: those that are there, and why others are not."""
    groups, reasons = {}, {}
    for name in plan.groups:
        try:
            groups[name] = read_group(runs / name)
        except UserError:
            reasons[name] = "there are no runs of this group"
    return groups, reasons


def _describe_protocol(protocol: Protocol | None, file: Path | None, rows: Sequence[Row]) -> str:
    if protocol is None or file is None:
        return "The runs were trained without a written protocol."
    own = {row.group for row in rows if row.protocol_sha256 == protocol.hash}
    groups = f"trained under this text: {', '.join(sorted(own))}" if own else "no group was trained under this text"
    return f"Protocol: [{file.name}]({file.name}), SHA-256 `{protocol.hash}`; {groups}."
