"""The section of the protocol: what was planned before the runs, how much is complete, and what differs."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.estimates import Summaries, metric_row, write_score
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.protocol import Planned, Protocol, shorten
from bus_lightning.statistics.as_planned import AsPlanned, Progress, name_runs
from bus_lightning.statistics.conditions import Condition, includes_task
from bus_lightning.statistics.membership import name_code


def protocol_section(
    as_planned: AsPlanned, conditions: Sequence[Condition], summaries: Mapping[str, Mapping[str, Summaries]]
) -> Section:
    """Show what was planned, the primary metric of each planned condition, and what differs from the plan.

    Args:
        as_planned: The protocol compared with the runs.
        conditions: Those of the report.
        summaries: Task -> part -> name of a condition -> summary.
    """
    protocol, deviations = as_planned.protocol, as_planned.deviations
    openings = "once" if protocol.test_openings == 1 else f"up to {protocol.test_openings} times"
    kept = "the epoch with the best score on validation images" if protocol.selection == "val" else "the last epoch"
    intro = (
        f"The protocol was written before the runs; its text has the SHA-256 {protocol.hash}. Planned: {kept} is kept, "
        f"and the test images of a run are evaluated {openings}."
    )
    items: list[Item] = []
    if deviations:
        items.append(Note(f"Deviations from the protocol: {len(deviations)}.", "warning"))
        rows = [{"condition or run": each.about, "what differs": each.text} for each in deviations]
        items.append(TableItem("protocol_deviations", "What differs from the protocol.", pd.DataFrame(rows), True))
    else:
        items.append(Note("No deviation from the protocol was found.", "good"))
    if primary := _primary_rows(protocol, conditions, summaries):
        caption = "The primary metric of each planned condition, on test images: value and 95% interval."
        items.append(TableItem("protocol_primary", caption, pd.DataFrame(primary)))
    items += [_plan(as_planned.progress), _texts(as_planned)]
    return Section("The protocol", intro, items)


def describe_texts(as_planned: AsPlanned) -> str:
    """Write the hash of the protocol, the number of runs that were trained under it, and that of deviations."""
    own = len(as_planned.versions.get(as_planned.protocol.hash, []))
    total = sum(map(len, as_planned.versions.values()))
    return (
        f"SHA-256 {shorten(as_planned.protocol.hash)}, {own} of {total} runs were trained under this text; deviations: "
        f"{len(as_planned.deviations)}"
    )


def _primary_rows(
    protocol: Protocol, conditions: Sequence[Condition], summaries: Mapping[str, Mapping[str, Summaries]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for condition in conditions:
        planned = protocol.find(condition.runs[0].path.parent.name, condition.config)
        if planned is None or planned.differences(condition.config):
            continue
        for task, metric in protocol.primary_metric.items():
            summary = summaries[task]["test"].get(condition.name) if includes_task(condition.task, task) else None
            if row := metric_row(summary, metric):
                rows.append({"planned": planned.name, "condition": condition.name, "metric": title_of(metric),
                             "value": write_score(row), "n": row["n"], "runs": condition.trainings})  # fmt: skip
    return rows


def _plan(progress: Sequence[Progress]) -> TableItem:
    rows = [
        {
            "planned": state.planned.name,
            "group": state.planned.group,
            "seeds": ", ".join(map(str, state.planned.seeds)),
            "split": _split(state.planned),
            "options": "; ".join(f"{key}={value}" for key, value in state.planned.options.items()),
            "runs planned": len(state.planned.runs),
            "complete": len(state.complete) if state.is_reported else "not in this report",
            "missing": (name_runs(state.missing, state.planned) or "-") if state.is_reported and state.missing else "-",
        }
        for state in progress
    ]
    return TableItem("protocol_plan", "What was planned, and how much of it is complete.", pd.DataFrame(rows))


def _split(planned: Planned) -> str:
    folds = "one split" if planned.folds is None else f"{planned.folds} folds"
    return f"{planned.method}, {folds}, seed {planned.split_seed}"


def _texts(as_planned: AsPlanned) -> TableItem:
    """List the texts under which the runs were trained, with the commits at which they saw them."""
    rows = [
        {
            "text, SHA-256": shorten(digest),
            "compared with": "yes" if digest == as_planned.protocol.hash else "no",
            "runs": len(runs),
            "commits of these runs": ", ".join(sorted({name_code(run) for run in runs})),
            "first started": min(map(_started, runs)),
        }
        for digest, runs in as_planned.versions.items()
    ]
    caption = "The texts under which the runs were trained, and the commits of the code that read them."
    return TableItem("protocol_texts", caption, pd.DataFrame(rows))


def _started(run: RunDir) -> str:
    return str(run.status.get("started") or "not known")
