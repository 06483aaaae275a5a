"""From groups of runs to the files of a report, and to W&B where the runs went there."""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from bus_lightning.core.errors import UserError
from bus_lightning.report.contents import contents
from bus_lightning.report.sections import FigureItem, Section, TableItem
from bus_lightning.report.writing import write_report
from bus_lightning.statistics.conditions import Group, make_names_unique, read_group

log = logging.getLogger(__name__)


def make_report(
    folders: list[Path], out: Path | None, title: str, to_wandb: bool, say: Callable[[str], None] = lambda text: None
) -> Path:
    """Write the report of one or more groups.

    Args:
        folders: Groups, `runs/<group>`.
        out: Folder of the report; None takes `report` in the first group.
        title: Title of the page.
        to_wandb: Whether tables and figures go to W&B, when the runs did.
        say: Called with what is being worked on.

    Returns:
        The page, `index.html`.

    Raises:
        UserError: When a folder holds no runs.
    """
    group = _united([read_group(folder) for folder in dict.fromkeys(folders)])
    if not group.conditions:
        reasons = "; ".join(f"{row['run']}: {row['reason']}" for row in group.left_out.head(3).to_dict("records"))
        raise UserError(f"{group.path} has no complete run to report ({reasons}).")
    out = out or folders[0] / "report"
    writable = os.access(folders[0], os.W_OK)
    sections = contents(group, cache=folders[0] / ".summaries" if writable else None, say=say)
    say("writing")
    subtitle = f"Runs of {', '.join(str(folder) for folder in folders)}"
    write_report(out, title, subtitle, sections, _facts(group))
    if to_wandb:
        say("W&B")
        try:
            log_to_wandb(group, sections)
        except Exception as error:  # the report is written: what does not reach W&B is no reason to fail
            log.warning("The report did not go to W&B: %s", error)
    return out / "index.html"


def _united(groups: list[Group]) -> Group:
    """Take groups together; conditions of the same name are told apart by that of their group."""
    conditions = [condition for group in groups for condition in group.conditions]
    names = Counter(condition.name for condition in conditions)
    for group in groups:
        for condition in group.conditions:
            if names[condition.name] > 1:
                condition.name += f"__{group.path.name}"
    make_names_unique(conditions)
    return Group(groups[0].path, conditions, pd.concat([group.left_out for group in groups], ignore_index=True))


def _facts(group: Group) -> dict[str, str]:
    """Say what heads the page: how much, of what, made with which code."""
    runs = [run for condition in group.conditions for run in condition.runs]
    states = [run.status for run in runs]
    images = len(set(pd.concat([condition.cases["id"] for condition in group.conditions])))
    commits = sorted({str(state.get("commit"))[:7] + ("+" if state.get("dirty") else "") for state in states})
    devices = sorted({f"{state.get('device')} ({state.get('precision')})" for state in states})
    torch = sorted({str((state.get("versions") or {}).get("torch")) for state in states})
    seconds = sum(state.get("seconds") or 0 for state in states)
    return {
        "runs": f"{len(runs)} in {len(group.conditions)} conditions, {len(group.left_out)} left out",
        "images evaluated": str(images),
        "device": ", ".join(devices),
        "training": f"{seconds / 3600:.1f} hours in all",
        "commit": ", ".join(commits),
        "versions": f"bus_lightning {version('bus_lightning')}, trained with torch {', '.join(torch)}",
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def log_to_wandb(group: Group, sections: list[Section]) -> None:
    """Send tables and figures to the W&B project of the runs; do nothing if no run was logged there.

    If a run has `logger.wandb.image_names=false`, tables and figures that name images are not sent.
    """
    logged = [one.config for one in group.conditions if (one.config.get("logger") or {}).get("wandb")]
    if not logged:
        return
    import wandb  # for runs that use it

    from bus_lightning.tracking.logger import may_name_images, wandb_mode, wandb_settings

    node, mode = logged[0].logger.wandb, wandb_mode()
    named = all(map(may_name_images, logged))
    with (
        tempfile.TemporaryDirectory() as folder,
        wandb.init(
            project=node.get("project"),
            entity=node.get("entity"),
            group=logged[0].group,
            job_type="report",
            name=f"report-{group.path.name}",
            dir=str(group.path),
            settings=wandb_settings(mode),
            mode=mode,  # type: ignore[arg-type]  # what WANDB_MODE says
        ) as run,
    ):
        for section in sections:
            for item in section.items:
                if not named and getattr(item, "names_images", False):
                    continue
                if isinstance(item, TableItem):
                    run.log({f"tables/{item.slug}": wandb.Table(dataframe=item.frame.astype(str))})
                elif isinstance(item, FigureItem):
                    file = Path(folder) / f"{item.slug}.png"
                    item.figure.savefig(file, dpi=150)
                    run.log({f"figures/{item.slug}": wandb.Image(str(file), caption=item.caption)})
