"""From groups of runs to the page of results and its numbers for programs."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_together
from bus_lightning.report.extension import Extension
from bus_lightning.report.marked_page import MarkedPage, read_page
from bus_lightning.report.results.fuller import describe_fuller, find_fuller
from bus_lightning.report.results.goals import find_answers, judge, make_goals, make_headline
from bus_lightning.report.results.kept import Earlier, merge, read_earlier, with_own_labels
from bus_lightning.report.results.missing import find_missing, missing_of
from bus_lightning.report.results.plan import GOALS, HEADLINE, MISSING, PROTOCOL, Plan, Table, read_plan
from bus_lightning.report.results.rows import Row, make_rows
from bus_lightning.report.results.tables import make_missing, make_summary, make_table
from bus_lightning.report.up_to_date import find_summaries
from bus_lightning.runs.protocol import Protocol, read_protocol
from bus_lightning.statistics.conditions import Group, read_group

log = logging.getLogger(__name__)


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
        summary: Another page, such as README.md: its table `headline` shows the goals in short, and it has the tables
            that the plan names for it; None for none.
        only_runs: Show only what the runs give, and keep nothing of the JSON.

    Returns:
        Names of tables that have no marker on their page.

    Raises:
        UserError: If the pages, the JSON, the plan or the protocol cannot be read or do not fit each other, or there is
            neither a run nor a kept number; then nothing is written.
    """
    planned, text = read_plan(plan), read_protocol(protocol) if protocol else None
    pages = _read_pages(page, summary, planned, plan)
    record = page.with_suffix(".json")
    earlier = Earlier() if only_runs else read_earlier(record)
    if not (only_runs or record.exists()) and any("| --- |" in old for old in pages[page].old):
        raise UserError(f"{record} is not there, but {page} has numbers; restore it, or give them up with --only-runs.")
    groups, reasons = _read_groups(runs, planned)
    if not earlier.rows and not any(group.conditions for group in groups.values()):
        raise UserError(f"{runs} has no complete run of the groups in {plan}: {', '.join(planned.groups)}.")
    if lost := earlier.without_place(planned.tables):
        log.warning(
            "%s had numbers that no table of %s shows now; they are left out: %s", record, plan, ", ".join(lost)
        )
    by_table: list[tuple[Table, list[Row]]] = []
    for table in planned.tables:
        there = [groups[name] for name in table.groups if name in groups]
        own = make_rows(table, there, extensions, find_summaries(runs))
        by_table.append((table, merge(own, earlier.rows, table)))
    rows = [row for _, own in by_table for row in own]
    if others := earlier.of_other_images(rows):
        log.warning("Other images than those of %s, whose numbers are replaced: %s", record, ", ".join(others))
    fuller = find_fuller(rows, earlier.for_tables(planned.tables), earlier.fuller)
    missing = list(dict.fromkeys([
        *find_missing(planned, groups, reasons, text, rows), *earlier.lack_of(rows, groups),
        *describe_fuller(fuller, rows),
    ]))  # fmt: skip
    shown = [(table, with_own_labels(own)) for table, own in by_table]
    labelled = [row for _, own in shown for row in own]
    tables = {table.name: make_table(table, own, extensions, missing_of(table.groups, missing)) for table, own in shown}
    tables[GOALS], tables[MISSING] = make_goals(planned.goals, labelled), make_missing(missing)
    tables[PROTOCOL] = _describe_protocol(text, protocol, rows)
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
        "fuller": [asdict(each) for each in fuller],
    }
    made = {page: tables}
    if summary:
        short = {each.name: make_summary(each, planned.tables, labelled, extensions) for each in planned.summary}
        made[summary] = {HEADLINE: make_headline(planned.goals, labelled)} | short
    texts = {file: pages[file].filled(own) for file, own in made.items()}
    write_together(texts | {record: json.dumps(content, indent=1, allow_nan=False) + "\n"})
    return [name for file, own in made.items() for name in own if name not in pages[file].names]


def _read_pages(page: Path, summary: Path | None, planned: Plan, plan: Path) -> dict[Path, MarkedPage]:
    """Read the pages, and refuse markers that would never be filled: old numbers would stay below them."""
    if page.suffix == ".json":
        raise UserError(f"{page}: the JSON has the name of the page; name a page that ends in .md.")
    if summary and page.resolve() == summary.resolve():
        raise UserError(f"{summary}: --summary is the page itself; name another page, such as README.md.")
    pages = {file: read_page(file) for file in filter(None, (page, summary))}
    if not pages[page].names:
        raise UserError(f"{page} has no markers, such as <!-- table:{GOALS} --> and <!-- end -->; add them.")
    known = {page: [GOALS, *(table.name for table in planned.tables), MISSING, PROTOCOL]}
    known |= {summary: [HEADLINE, *(table.name for table in planned.summary)]} if summary else {}
    for file, own in known.items():
        if unknown := [name for name in pages[file].names if name not in own]:
            raise UserError(f"{file}: {plan} has no table {unknown[0]} for it; remove its marker, or add the table.")
    if summary and HEADLINE not in pages[summary].names:
        raise UserError(
            f"{summary} has no place for the goals; add the lines <!-- table:{HEADLINE} --> and <!-- end -->."
        )
    return pages


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
    others = {row.group for row in rows if row.protocol_sha256 != protocol.hash}
    names = [f"{group} (in part)" if group in others else group for group in sorted(own)]
    groups = f"trained under this text: {', '.join(names)}" if own else "no group was trained under this text"
    return f"Protocol: [{file.name}]({file.name}), SHA-256 `{protocol.hash}`; {groups}."
