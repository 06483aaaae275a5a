"""A run's folder: the name of every file in one place, what state it is in, where to resume."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config import identity
from bus_lightning.errors import UserError
from bus_lightning.files import aside, write_aside

_PACKAGES = ("bus_lightning", "torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "albumentations",
             "opencv-python-headless", "numpy")  # fmt: skip


class RunDir:
    """The files of one run.

    Args:
        path: The run's folder, `<runs_dir>/<group>/<name>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.status_file = path / "status.json"
        self.split = path / "split.json"
        self.metrics_file = path / "metrics.json"
        self.cases = path / "cases.csv"
        self.history = path / "history.csv"
        self.log = path / "train.log"
        self.error = path / "error.txt"
        self.figures = path / "figures"
        self.masks = path / "masks"
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"

    @property
    def is_complete(self) -> bool:
        """Whether the run has come to its end: metrics.json is written last."""
        return self.metrics_file.is_file()

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says; empty where there is none."""
        return _read_json(self.status_file)

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json says; empty where the run is not complete."""
        return _read_json(self.metrics_file)

    def differences(self, kept: DictConfig, cfg: DictConfig, hashes: dict[str, str]) -> list[str]:
        """Name what makes this folder another experiment than the config: `key (here A, asked B)`.

        Args:
            kept: The config that is in this folder.
            cfg: The config that is to be run.
            hashes: Those of its data and its split, as status.json keeps them.
        """
        here, asked = identity(kept), identity(cfg) | hashes
        here |= {key: self.status.get(key, value) for key, value in hashes.items()}
        keys = sorted(key for key in here | asked if here.get(key) != asked.get(key))
        return [f"{key} (here {here.get(key)}, asked {asked.get(key)})" for key in keys]

    def was_started_by(self, launch: str | None) -> bool:
        """Tell whether this launch of the command has started the run; None, outside of one, has not."""
        with suppress(UserError):  # a damaged status says nothing
            return launch is not None and self.status.get("launch") == launch
        return False

    def set_aside(self) -> Path:
        """Move the folder away under a name that says when, make an empty one, and return where the old one is."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        moved = self.path.with_name(f"{self.path.name}.old-{stamp}")
        number = 1
        while moved.exists():
            moved = moved.with_name(f"{self.path.name}.old-{stamp}-{(number := number + 1)}")
        self.path.rename(moved)
        self.path.mkdir()
        return moved

    @property
    def epochs(self) -> int:
        """How many epochs have been trained, by history.csv."""
        return len(pd.read_csv(self.history)) if self.history.is_file() else 0

    def update_status(self, **news: Any) -> None:
        """Write news into status.json, keeping what it said before."""
        write_aside(self.status_file, json.dumps(self.status | news, indent=1, allow_nan=False) + "\n")

    def tidy(self) -> None:
        """Remove what a process that was killed left half-written; only for who owns the folder."""
        for folder in (self.path, self.checkpoints, self.figures):
            for half_written in folder.glob(".*.*-*"):  # as `files.aside` names them
                half_written.unlink()

    def start(self, **news: Any) -> None:
        """Mark the run as running, with the commit and the versions that it runs on."""
        self.error.unlink(missing_ok=True)
        now = {"state": "running", "started": _now(), "command": " ".join(sys.argv), "error": None, "kind": None}
        self.update_status(**now, **_commit(), versions={name: version(name) for name in _PACKAGES}, **news)

    def finish(self, state: str, started: float, **news: Any) -> None:
        """Mark how the run ended: complete, failed or interrupted.

        Args:
            state: The state.
            started: `time.monotonic()` when this process took the run up; its seconds add to those before.
            news: More to keep.
        """
        seconds = self.status.get("seconds", 0.0) + time.monotonic() - started
        self.update_status(state=state, ended=_now(), seconds=round(seconds, 2), **news)

    def write_cases(self, cases: pd.DataFrame) -> None:
        """Write cases.csv, a row per image; floats in full, so that reading them gives the same bits."""
        with aside(self.cases) as path:
            cases.to_csv(path, index=False)

    def write_masks(self, masks: dict[str, bytes]) -> None:
        """Write the answered masks of images, PNG, as `masks/<id>.png`, before the run is complete."""
        for id_, png in masks.items():
            file = self.masks / f"{id_}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json, which makes the run complete."""
        write_aside(self.metrics_file, json.dumps(metrics, indent=1, allow_nan=False) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); pass rerun=true to train afresh.") from error
    return content


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> dict[str, Any]:
    """Tell the commit of the code and whether it was changed; None outside a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
