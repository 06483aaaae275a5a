"""Send what was recorded offline: every part of every run, in the order of time, under the run's one id."""

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import wandb

from bus_lightning.core.errors import UserError
from bus_lightning.runs.lock import is_owned

log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Part:
    """A recording that waits: a run, or a part of one that was interrupted and resumed.

    Attributes:
        run_id: W&B's id of the run.
        started: When it was begun, as its folder says, `YYYYMMDD_HHMMSS`.
        path: The folder `offline-run-<started>-<run_id>`.
    """

    run_id: str
    started: str
    path: Path


def waiting(runs_dir: Path) -> list[Part]:
    """Find what waits below a folder, the parts of a run in the order of time.

    Runs that a process is working on are left for later, and so is what W&B has marked as sent.
    """
    found, busy = [], set()
    for recording in runs_dir.rglob("wandb/offline-run-*/*.wandb"):
        folder = recording.parent
        if recording.with_suffix(".wandb.synced").exists():
            continue
        if is_owned(run := folder.parents[1]):
            busy.add(run)
            continue
        found.append(Part(recording.stem.removeprefix("run-"), folder.name.split("-")[2], folder))
    for run in sorted(busy):
        log.warning("%s is being worked on: sync it when that is over.", run)
    return sorted(found)


def sync_command(parts: list[Part]) -> list[str]:
    """Write the one command that sends them: W&B sends parts of a run one after the other, and others side by side."""
    return [sys.executable, "-m", "wandb", "sync", *(str(part.path) for part in parts)]


def sync(runs_dir: Path, dry_run: bool = False) -> int:
    """Send what waits below a folder.

    Args:
        runs_dir: Folder of the groups.
        dry_run: Only say what would be sent.

    Returns:
        W&B's exit code; 0 where nothing waits.

    Raises:
        UserError: When the folder is missing, or nobody is logged in.
    """
    if not runs_dir.is_dir():
        raise UserError(f"{runs_dir} is no folder of runs: name the one that you trained into (runs_dir=...).")
    parts = waiting(runs_dir)
    runs = len({part.run_id for part in parts})
    print(f"Waiting below {runs_dir}: {runs} runs in {len(parts)} parts.")
    for part in parts if dry_run else []:
        print(f"  {part.run_id} {part.started} {part.path}")
    if dry_run or not parts:
        return 0
    if not wandb.login(prompt=False, verify=False):
        raise UserError("Nobody is logged in to W&B: run `wandb login`, or set WANDB_API_KEY, then sync again.")
    return subprocess.run(sync_command(parts), check=False).returncode
