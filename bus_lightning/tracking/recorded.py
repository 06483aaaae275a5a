"""Read runs back from what W&B recorded offline."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import DamagedError, UserError


@dataclass
class Recorded:
    """A run, its parts put together.

    Attributes:
        folder: The run's folder.
        config: Its config.
        summary: What W&B shows as its results.
        history: A row per epoch, and one for what came after the training.
        name: Its name.
        state: finished, failed or running, as W&B's reader says of the last part.
        exit_code: Of the last part; None where it was killed without a word.
        files: Path as W&B names it, such as `media/images/...` -> file.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    name: str = ""
    state: str = ""
    exit_code: int | None = None
    files: dict[str, Path] = field(default_factory=dict)


def read_run(folder: Path) -> Recorded:
    """Read the offline recording of a run.

    Args:
        folder: The run's folder.

    Raises:
        UserError: When nothing was recorded offline there.
        DamagedError: When a part of the recording cannot be read.
    """
    parts = sorted(folder.glob("wandb/offline-run-*"))
    if not parts:
        raise UserError(f"{folder} has no offline recording of W&B (wandb/offline-run-*).")
    run = Recorded(folder)
    for part in parts:
        try:
            summary = json.loads(_inspect(part, "--summary"))
            run.config |= summary["config"] or {}
            run.summary |= summary["summary"] or {}
            run.name, run.state, run.exit_code = summary["name"], summary["state"], summary["exit_code"]
            records = [json.loads(line) for line in _inspect(part).splitlines()]
            run.history += [record["history"]["item"] for record in records if record["type"] == "history"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(part, f"W&B reads it, but the content is not as expected ({error!r})") from error
        run.files |= {str(file.relative_to(part / "files")): file for file in part.glob("files/media/**/*.*")}
    return run


def read_table(run: Recorded, key: str) -> tuple[list[str], list[list[Any]]]:
    """Read a table that a run has logged: the names of its columns, and its rows."""
    content = json.loads(run.files[run.summary[key]["path"]].read_text())
    return content["columns"], content["data"]


def _inspect(part: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(part), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DamagedError(part, f"W&B cannot read it ({done.stderr.strip()})")
    return done.stdout
