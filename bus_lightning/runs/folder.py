"""A run's folder: the name, reading and writing of each of its files."""

import json
import logging
import shutil
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bus_lightning.config.identity import identity
from bus_lightning.config.run_names import SET_ASIDE
from bus_lightning.config.stored import load_config
from bus_lightning.core.csv_files import check_numbers, read_table, refuse_cut, write_csv
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import aside, is_there, write_aside
from bus_lightning.core.reading import open_regular
from bus_lightning.runs.code import codes_of, differences, present_code
from bus_lightning.runs.contents import read_metrics, read_status

log = logging.getLogger(__name__)


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
        self.sets = path / "sets.json"
        self.network = path / "network.json"
        self.protocol = path / "protocol.md"
        self.ensemble = path / "ensemble.json"
        self.images = path / "images.csv"
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
    def is_run(self) -> bool:
        """Whether the folder holds a file that only runs have, or cannot be looked into."""
        return any(map(is_there, (self.config, self.status_file, self.metrics_file, self.cases)))

    @property
    def is_ensemble(self) -> bool:
        """Whether its predictions are the mean over the networks of several runs; see `runs/ensembles.py`."""
        return is_there(self.ensemble)

    @property
    def is_set_aside(self) -> bool:
        """Whether this is an old folder that was moved aside for a new start."""
        return SET_ASIDE in self.path.name

    def config_folders(self) -> dict[str, Path]:
        """Return the folders that its config names: words for an error -> folder; none if the config is damaged."""
        with suppress(UserError, OmegaConfBaseException, TypeError):
            return {f"data.cache in {self.config}": Path(load_config(self.config).data.cache)}
        return {}

    @property
    def is_complete(self) -> bool:
        """Whether the run is complete: metrics.json is written last. A folder in its place is damage."""
        return is_there(self.metrics_file)

    @property
    def status(self) -> dict[str, Any]:
        """The content of status.json; empty without the file.

        Raises:
            DamagedError: If it cannot be read, or holds an impossible value.
        """
        return read_status(self.status_file)

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json; empty if the run is not complete.

        Raises:
            DamagedError: If it cannot be read, or holds an impossible value.
        """
        return read_metrics(self.metrics_file)

    def read_history(self) -> pd.DataFrame | None:
        """Read history.csv, a row per epoch; None without the file.

        Raises:
            DamagedError: If it is not such a table.
        """
        if not is_there(self.history):
            return None
        history = read_table(self.history, needed=["epoch"])
        check_numbers(self.history, history, ["epoch"], low=0, whole=True)
        check_numbers(self.history, history, history, gaps=True)
        refuse_cut(self.history, history)
        return history

    def differences(self, kept: DictConfig, cfg: DictConfig, hashes: dict[str, str]) -> list[str]:
        """List what makes this folder another experiment than a config: `key (folder: A, requested: B)`.

        Args:
            kept: The config in this folder.
            cfg: The requested config.
            hashes: Hashes of the requested data, split, masks and weights, named as in status.json.
        """
        before, now = identity(kept), identity(cfg) | hashes
        before |= {key: self.status.get(key, value) for key, value in hashes.items()}
        if "weights" in hashes and self.status.get("weights") == hashes["weights"]:
            before["model.weights"] = now["model.weights"]  # the same content, perhaps under another path
        keys = sorted(key for key in before | now if before.get(key) != now.get(key))
        return [f"{key} (folder: {before.get(key)}, requested: {now.get(key)})" for key in keys]

    def refuse_irregular(self) -> None:
        """Refuse a folder, a pipe or a device in the place of one of the run's files, before anything waits for it.

        Raises:
            DamagedError: If there is one, or a file cannot be opened.
        """
        for file in (self.config, self.status_file, self.split, self.sets, self.protocol, self.images,
                     self.fingerprints, self.metrics_file, self.cases, self.history, self.log, self.error, self.best,
                     self.last):  # fmt: skip
            if is_there(file):
                try:
                    open_regular(file).close()
                except UserError as error:
                    raise DamagedError(file, f"it is not a file that can be read ({error})") from None

    @property
    def launch(self) -> str | None:
        """Name of the launch that has started the run; None without one, or if status.json is damaged."""
        with suppress(DamagedError):
            return cast("str | None", self.status.get("launch"))
        return None

    def set_aside(self) -> Path:
        """Rename the folder to one with the time in its name, make an empty one, and return the path of the old one."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        moved = self.path.with_name(f"{self.path.name}{SET_ASIDE}{stamp}")
        number = 1
        while moved.exists():
            moved = moved.with_name(f"{self.path.name}{SET_ASIDE}{stamp}-{(number := number + 1)}")
        self.path.rename(moved)
        self.path.mkdir()
        return moved

    @property
    def is_debug_run(self) -> bool:
        """Whether a debug run wrote the folder; False if its config cannot be read."""
        with suppress(DamagedError):
            return load_config(self.config).get("debug_run") is True
        return False

    def make_room(self, debug_run: bool) -> tuple[Path | None, str]:
        """Move the folder aside for a new run; if both are debug runs, remove it.

        Args:
            debug_run: Whether the new run is a debug run.

        Returns:
            The old folder, None if it was removed; and what happened to it, for the log.
        """
        removed = debug_run and self.is_debug_run and not self.path.is_symlink()
        old = self.set_aside()  # first: a kill while files are removed leaves no mixture of two runs
        if not removed:
            return old, f"the old folder is now {old.name}"
        shutil.rmtree(old, ignore_errors=True)
        return None, "the old debug run is removed"

    def count_epochs(self) -> int:
        """Count the trained epochs in history.csv."""
        return 0 if (history := self.read_history()) is None else len(history)

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
        if history is None or history.empty:
            raise DamagedError(self.history, "it is missing" if history is None else "it has no epoch")
        if monitor not in history:
            return int(history["epoch"].iloc[-1])
        scores = history[monitor].dropna()
        if not len(scores):
            return int(history["epoch"].iloc[0])  # older versions kept the first epoch if no score was defined
        return int(history["epoch"][scores.idxmax() if mode == "max" else scores.idxmin()])

    def update_status(self, **values: Any) -> None:
        """Update keys of status.json."""
        write_aside(self.status_file, json.dumps(self.status | values, indent=1, allow_nan=False) + "\n")

    def tidy(self) -> None:
        """Remove the half-written files of a killed process; call it only with the lock of the folder."""
        for folder in (self.path, self.checkpoints, self.figures):
            for half_written in folder.glob(".*.*-*"):  # as `files.aside` names them
                half_written.unlink()

    def start(self, continues: bool = False, **values: Any) -> None:
        """Mark the run as running, with the code that it is made with.

        Args:
            continues: Whether the run goes on from a checkpoint. The code that began it is kept then; other code is
                added to `later`, and a line of the log names what differs.
            values: Further keys of status.json.
        """
        self.error.unlink(missing_ok=True)
        before, code, started = self.status, present_code(), _now()
        later: list[dict[str, Any]] | None = None
        if continues:
            first, *rest = codes_of(before)
            if changed := differences(codes_of(before)[-1], code):
                log.warning("%s: continues with other code: %s", self.path, "; ".join(changed))
                rest.append({"started": started, **code})
            code, later = first, rest or None
        now = {"state": "running", "started": started, "command": " ".join(sys.argv), "error": None, "kind": None}
        self.update_status(**now, **code, later=later, **values)

    def record_evaluation(self, of: "RunDir", **values: Any) -> None:
        """Write status.json of an evaluation: the code that made it, that trained the run, and how often it was made.

        Args:
            of: The run.
            values: Further keys of status.json.
        """
        code, trained = present_code(), codes_of(of.status)
        if changed := differences(trained[-1], code):
            log.warning("%s: evaluated with other code than it was trained with: %s", of.path, "; ".join(changed))
        times = 1 + is_there(self.status_file)  # one of an earlier version, and a damaged one, count one evaluation
        with suppress(DamagedError):
            times = max(times, (self.status.get("times") or 0) + 1)
        made = {"command": " ".join(sys.argv), "ended": _now(), "times": times, **code, "trained": trained}
        write_aside(self.status_file, json.dumps(made | values, indent=1, allow_nan=False) + "\n")

    def finish(self, state: str, started: float, **values: Any) -> None:
        """Mark the run as complete, failed or interrupted.

        Args:
            state: The state.
            started: `time.monotonic()` when this process took the run up; the seconds are added to those before.
            values: Further keys of status.json.
        """
        seconds = (self.status.get("seconds") or 0.0) + time.monotonic() - started
        self.update_status(state=state, ended=_now(), seconds=round(seconds, 2), **values)

    def write_cases(self, cases: pd.DataFrame) -> None:
        """Write cases.csv, a row per image, with all digits, so that reading it gives the same bits."""
        with aside(self.cases) as path:
            write_csv(cases, path)

    def write_masks(self, masks: dict[str, bytes]) -> None:
        """Write predicted masks, PNG, as `masks/<id>.png`."""
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
