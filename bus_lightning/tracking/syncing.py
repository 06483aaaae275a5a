"""Send what was recorded offline: all recordings of each run, in the order of time, under the run's id."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import wandb

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import is_folder
from bus_lightning.core.printable import printable
from bus_lightning.runs.lock import is_owned

log = logging.getLogger(__name__)


class Recording(NamedTuple):
    """An offline recording; a run that was interrupted and resumed has several.

    Attributes:
        run_id: W&B's id of the run.
        started: Start time in the folder's name, `YYYYMMDD_HHMMSS`.
        path: The folder `offline-run-<started>-<run_id>`.
    """

    run_id: str
    started: str
    path: Path


def find_unsent(runs_dir: Path) -> list[Recording]:
    """List the recordings below a folder that were not sent yet, by run and start time.

    Runs that a process is working on are left out and named in the log.
    """
    recordings, busy = [], set()
    for file in runs_dir.rglob("wandb/offline-run-*/*.wandb"):
        if not file.is_file() or file.with_suffix(".wandb.synced").exists():
            continue
        if is_owned(run := file.parents[2]):
            busy.add(run)
            continue
        recordings.append(Recording(file.stem.removeprefix("run-"), file.parent.name.split("-")[2], file.parent))
    for run in sorted(busy):
        log.warning("%s is still running: send it when it has ended.", run)
    return sorted(recordings)


def sync(runs_dir: Path, dry_run: bool = False) -> int:
    """Send the recordings below a folder with `wandb sync`, which sends those of one run one after the other.

    Args:
        runs_dir: Folder of the groups.
        dry_run: Only list what would be sent.

    Returns:
        W&B's exit code; 0 if there is nothing to send.

    Raises:
        UserError: If the folder is missing, or nobody is logged in.
    """
    if not is_folder(runs_dir):
        raise UserError(f"{runs_dir} is not a folder: give the folder of your runs (runs_dir=...).")
    recordings = find_unsent(runs_dir)
    runs = len({recording.run_id for recording in recordings})
    number = f"{runs} run{'s' * (runs != 1)} in {len(recordings)} recording{'s' * (len(recordings) != 1)}"
    print(printable(f"Not sent yet below {runs_dir}: {number}."))
    for recording in recordings if dry_run else []:
        print(printable(f"  {recording.run_id} {recording.started} {recording.path}"))
    if dry_run or not recordings:
        return 0
    if not wandb.login(prompt=False, verify=False):
        raise UserError("Nobody is logged in to W&B: run `wandb login`, or set WANDB_API_KEY, then sync again.")
    command = [sys.executable, "-m", "wandb", "sync", *(str(recording.path) for recording in recordings)]
    return subprocess.run(command, check=False).returncode
