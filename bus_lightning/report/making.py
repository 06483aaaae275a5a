"""From groups of runs to the files of a report."""

import gc
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from bus_lightning import __version__
from bus_lightning.config.data_sets import options_by_set
from bus_lightning.core.errors import UserError
from bus_lightning.report.checklist_section import CHECKLISTS
from bus_lightning.report.contents import Say, contents
from bus_lightning.report.extension import Extension
from bus_lightning.report.protocol_section import describe_texts
from bus_lightning.report.sections import Section
from bus_lightning.report.sources import find_sources
from bus_lightning.report.up_to_date import MadeFrom, find_summaries
from bus_lightning.report.writing import write_report
from bus_lightning.runs.code import codes_of
from bus_lightning.runs.protocol import read_protocol
from bus_lightning.statistics.as_planned import AsPlanned, compare_with_protocol
from bus_lightning.statistics.conditions import Condition, Group, add_group_to_names, make_names_unique, read_group
from bus_lightning.statistics.membership import name_commits
from bus_lightning.statistics.operating_points import SCREENING_PREVALENCE

log = logging.getLogger(__name__)
Send = Callable[[Group, list[Section]], None]


def make_report(
    folders: list[Path],
    out: Path | None = None,
    title: str = "Report",
    extensions: Sequence[Extension] = (),
    send: Send | None = None,
    say: Say = lambda text: None,
    trusted: Sequence[str] = (),
    prevalence: float = SCREENING_PREVALENCE,
    protocol: Path | None = None,
    made_from: MadeFrom | None = None,
) -> Path:
    """Write the report of one or more groups.

    Args:
        folders: Groups, `runs/<group>`.
        out: Folder of the report; None takes `report` in the first group.
        title: Title of the page.
        extensions: Studies that add to the report.
        send: Called with the runs and the sections when the report is written, to send it elsewhere.
        say: Called with the name of each step.
        trusted: The user's own packages whose networks are built to count what they cost.
        prevalence: Share of malignant at which the stated PPV and NPV hold, in (0, 1).
        protocol: File of the protocol to compare the runs with; None takes the one under which they were trained.
        made_from: Records what the report was made from, when it is complete and sent.

    Returns:
        The page, `index.html`.

    Raises:
        UserError: When a folder holds no runs, the protocol cannot be read, or the prevalence is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise UserError(f"--prevalence {prevalence}: give a share between 0 and 1, such as {SCREENING_PREVALENCE}.")
    text = read_protocol(protocol) if protocol else None
    group = _united([read_group(folder, trusted) for folder in dict.fromkeys(folders)])
    gc.collect()  # the configs of all runs but the first of each condition; collection can be paused
    if not group.conditions:
        reasons = "; ".join(f"{row['run']}: {row['reason']}" for row in group.left_out.head(3).to_dict("records"))
        raise UserError(f"{group.path} has no complete run to report ({reasons}).")
    out = out or folders[0] / "report"
    if made_from:
        made_from.add(find_sources(group))
    cache = find_summaries(folders[0])
    as_planned = compare_with_protocol([group.path, *group.others], text)
    sections = contents(group, extensions, cache, say, prevalence, as_planned)
    say("writing")
    if made_from:
        made_from.forget()
    subtitle = f"Runs of {', '.join(str(folder) for folder in folders)}"
    write_report(out, title, subtitle, sections, _facts(group, as_planned), CHECKLISTS)
    if send:
        say("sending")
        try:
            send(group, sections)
        except Exception as error:  # the report is written: that it cannot be sent is no reason to fail
            log.warning("The report is written, but it could not be sent: %s", error)
            return out / "index.html"
    if made_from:
        made_from.record()
    return out / "index.html"


def _united(groups: list[Group]) -> Group:
    """Unite groups; conditions of the same name get the name of their group as a suffix."""
    conditions = add_group_to_names(condition for group in groups for condition in group.conditions)
    make_names_unique(conditions)
    left_out = pd.concat([group.left_out for group in groups], ignore_index=True)
    return Group(groups[0].path, conditions, left_out, tuple(group.path for group in groups[1:]))


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"


def count_images(conditions: Sequence[Condition]) -> int:
    """Count the images that were evaluated, each once, even if some runs use several data sets and others one of them.

    The ids of several sets begin with the name of the set.
    """
    images: set[str] = set()
    for condition in conditions:
        names = list(options_by_set(condition.config.data))
        prefix = "" if len(names) > 1 else f"{names[0]}/"
        images.update(f"{prefix}{id_}" for id_ in condition.cases["id"].unique())
    return len(images)


def _facts(group: Group, as_planned: AsPlanned | None = None) -> dict[str, str]:
    """Return the facts at the head of the page: name -> value."""
    runs = [run for condition in group.conditions for run in condition.runs if not condition.is_ensemble]
    ensembles = sum(condition.is_ensemble for condition in group.conditions)
    states = [run.status for run in runs]
    codes = [code for state in states for code in codes_of(state)]
    commits = sorted(name_commits(codes))
    mixed = sum(len(codes_of(state)) > 1 for state in states)
    devices = sorted({f"{state.get('device')} ({state.get('precision')})" for state in states})
    torch = sorted({str((code.get("versions") or {}).get("torch")) for code in codes})
    seconds = sum(state.get("seconds") or 0 for state in states)
    protocol = describe_texts(as_planned) if as_planned else "none of the runs was trained under a protocol"
    number = _counted(len(group.conditions) - ensembles, "condition")
    return {
        "runs": f"{len(runs)} in {number}, {len(group.left_out)} left out"
        + (f"; {_counted(ensembles, 'ensemble')}" if ensembles else ""),
        "images evaluated": f"{count_images(group.conditions):,}",
        "protocol": protocol,
        "device": ", ".join(devices),
        "training": f"{seconds / 3600:.1f} hours in all",
        "commit": ", ".join(commits) + (f"; {mixed} of the runs were continued with other code" if mixed else ""),
        "versions": f"bus_lightning {__version__}, trained with torch {', '.join(torch)}",
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
