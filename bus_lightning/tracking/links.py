"""The links between the pages of runs and of their report on W&B: addresses, or paths of what is only on this machine.

The report of a group has the same W&B id each time, so a run can name its page before the report is made.
"""

from typing import Any
from urllib.parse import quote

from bus_lightning.core.files import is_there
from bus_lightning.core.randomness import stable_hash
from bus_lightning.core.reading import read_text
from bus_lightning.runs.folder import RunDir


def report_id(group: str) -> str:
    """Return W&B's id of the report of a group."""
    return f"report-{stable_hash('report', group):016x}"


def link_to_report(wandb_run: Any, group: str) -> str:
    """Return the address of a group's report on W&B if this W&B run is online, else the path of its page."""
    return f"{wandb_run.project_url}/runs/{report_id(group)}" if _is_online(wandb_run) else f"{group}/report/index.html"


def link_to_run(report: Any, run: RunDir, project: str | None) -> str:
    """Return the address of a run on W&B if it and its report are online, else `<group>/<name>`.

    Args:
        report: The W&B run of the report, whose owner is that of the run.
        run: The run's folder.
        project: The W&B project of the run; None for that of the report.
    """
    id_file = run.path / "wandb_id.txt"
    if not (_is_online(report) and was_sent(run) and is_there(id_file)):
        return "/".join(run.path.resolve().parts[-2:])
    owner, _, own_project = report.project_url.rpartition("/")
    place = own_project if project is None else quote(str(project), safe="")
    return f"{owner}/{place}/runs/{quote(read_text(id_file, 1000), safe='')}"


def was_sent(run: RunDir) -> bool:
    """Say whether W&B has a run: it was recorded online, or offline and sent later."""
    files = run.path.glob("wandb/*run-*/*.wandb")
    return any("offline-" not in file.parent.name or is_there(file.with_suffix(".wandb.synced")) for file in files)


def _is_online(wandb_run: Any) -> bool:
    return not (wandb_run.offline or wandb_run.disabled)
