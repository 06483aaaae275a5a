"""A run's folder: the name of every file in one place, what state it is in, where to resume."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.build import identity, load_config
from bus_lightning.core.csv_files import check_numbers, read_table, refuse_cut
from bus_lightning.core.errors import DamagedError
from bus_lightning.core.files import aside, write_aside

_PACKAGES = ("bus_lightning", "torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "albumentations",
             "opencv-python-headless", "numpy")  # fmt: skip
_NUMBERS = ("seconds", "epochs", "parameters", "score", "latency_ms", "images_per_second", "probe_auc",
            "probe_auc_without_overlay", "data_fraction")  # fmt: skip


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
        self.fingerprints = path / "fingerprints.npz"
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
        """The content of status.json; empty if there is no such file.

        Raises:
            DamagedError: When it cannot be read, or holds an impossible value.
        """
        content = _read_json(self.status_file)
        _refuse_text(self.status_file, content, _NUMBERS)
        if not isinstance(content.get("versions") or {}, dict):
            raise DamagedError(self.status_file, f"versions is {content['versions']!r}")
        return content

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json; empty if the run is not complete.

        Raises:
            DamagedError: When it cannot be read, or holds an impossible value.
        """
        content = _read_json(self.metrics_file)
        for part, scores in content.items():
            if not isinstance(scores, dict):
                raise DamagedError(self.metrics_file, f"{part} is {scores!r} instead of scores")
            _refuse_text(self.metrics_file, scores, scores.keys() - {"undefined"}, f"{part}, ")
        return content

    def read_history(self) -> pd.DataFrame | None:
        """Read history.csv, a row per epoch; None if there is no such file.

        Raises:
            DamagedError: When it is not such a table.
        """
        if not self.history.is_file():
            return None
        history = read_table(self.history, needed=["epoch"])
        check_numbers(self.history, history, ["epoch"], low=0, whole=True)
        check_numbers(self.history, history, history, gaps=True)
        refuse_cut(self.history, history)
        return history

    def differences(self, kept: DictConfig, cfg: DictConfig, hashes: dict[str, str]) -> list[str]:
        """Name what makes this folder another experiment than the config: `key (here A, asked B)`.

        Args:
            kept: The config that is in this folder.
            cfg: The config that is to be run.
            hashes: Hashes of its data, its split and the files that it starts from, named as in status.json.
        """
        here, asked = identity(kept), identity(cfg) | hashes
        here |= {key: self.status.get(key, value) for key, value in hashes.items()}
        if "weights" in hashes and self.status.get("weights") == hashes["weights"]:
            here["model.weights"] = asked["model.weights"]  # the same content, perhaps under another path
        keys = sorted(key for key in here | asked if here.get(key) != asked.get(key))
        return [f"{key} (here {here.get(key)}, asked {asked.get(key)})" for key in keys]

    def was_started_by(self, launch: str | None) -> bool:
        """Tell whether this launch of the command has started the run; None, outside of one, has not."""
        with suppress(DamagedError):  # a damaged status has no launch
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
    def is_debug_run(self) -> bool:
        """Whether a debug run wrote the folder; False if its config cannot be read."""
        with suppress(DamagedError):
            return load_config(self.config).get("debug_run") is True
        return False

    def make_room(self, debug_run: bool) -> str:
        """Move the folder aside for a new run; if both are debug runs, remove it.

        Args:
            debug_run: Whether the new run is a debug run.

        Returns:
            What happened to the old folder, for the log.
        """
        removed = debug_run and self.is_debug_run and not self.path.is_symlink()
        old = self.set_aside()  # first: a kill while files are removed leaves no mixture of two runs
        if removed:
            shutil.rmtree(old, ignore_errors=True)
        return "the old debug run is removed" if removed else f"the old folder is now {old.name}"

    @property
    def epochs(self) -> int:
        """How many epochs have been trained, by history.csv."""
        history = self.read_history()
        return 0 if history is None else len(history)

    def kept_epoch(self, monitor: str, mode: str) -> int:
        """Return the epoch whose weights best.ckpt holds, counted from 0; for older runs, found in the history.

        Args:
            monitor: Metric whose best epoch is kept.
            mode: max or min.

        Raises:
            DamagedError: When it is not recorded and the history is missing or damaged.
        """
        if (known := self.status.get("kept_epoch")) is not None:
            return int(known)
        history = self.read_history()
        if history is None:
            raise DamagedError(self.history, "it is missing")
        if monitor not in history:
            return int(history["epoch"].iloc[-1])
        scores = history[monitor].dropna()
        if not len(scores):
            return int(history["epoch"].iloc[0])  # older versions kept the first epoch if no score was defined
        return int(history["epoch"][scores.idxmax() if mode == "max" else scores.idxmin()])

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


def groups_below(runs_dir: Path) -> list[Path]:
    """List the groups in `runs_dir`: the folders `<group>` that hold runs, `<group>/<name>/config.yaml`."""
    return sorted({config.parents[1] for config in runs_dir.glob("[!.]*/[!.]*/config.yaml")})


def groups_near(path: Path) -> list[Path]:
    """List the groups that a wrong path may mean: those in it, next to it, or in `runs`."""
    nearby = (path, path.parent, Path("runs"), path.parent.parent)
    return next(filter(None, map(groups_below, nearby)), [])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DamagedError(path, str(error)) from error
    if not isinstance(content, dict):
        raise DamagedError(path, f"it holds a {type(content).__name__} instead of an object")
    return content


def _refuse_text(path: Path, found: dict[str, Any], names: Iterable[str], place: str = "") -> None:
    """Refuse a value that is not a number under a name that needs one."""
    for name in names:
        value = found.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise DamagedError(path, f"{place}{name} is {value!r}, which is not a number")


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
