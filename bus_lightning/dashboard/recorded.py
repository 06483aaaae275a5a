"""Read runs back from what W&B recorded offline."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_lightning.errors import UserError


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
    """
    parts = sorted(folder.glob("wandb/offline-run-*"))
    if not parts:
        raise UserError(f"{folder} has no offline recording of W&B (wandb/offline-run-*).")
    run = Recorded(folder)
    for part in parts:
        told = json.loads(_inspect(part, "--summary"))
        run.config |= told["config"] or {}
        run.summary |= told["summary"] or {}
        run.name, run.state, run.exit_code = told["name"], told["state"], told["exit_code"]
        for line in _inspect(part).splitlines():
            record = json.loads(line)
            if record["type"] == "history":
                run.history.append(record["history"]["item"])
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
        raise UserError(f"{part} cannot be read: {done.stderr.strip()}")
    return done.stdout
