"""A grid of small jobs on synthetic images: its command, its files, and what it was doing at a moment."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from bus_lightning.runs.folder import RunDir

_GROUP = "chaos"
# What decides how long a job goes on, and which epoch is kept, has a memory: an interruption must not wipe it out.
_OPTIONS = (
    "data=phantom", "debug_size=true", "data.size=64", "data.split.val_from_train=1", "logger=csv",
    "callbacks=early_stopping", "callbacks.early_stopping.patience=3", "scheduler=plateau", "scheduler.patience=0",
    "callbacks.checkpoint.every_n_train_steps=4",
)  # fmt: skip
# How the jobs of a grid run, and what records them: each kind is killed in turn.
KINDS = {
    "one job after another": (),
    "W&B offline": ("logger=wandb",),
    "joblib, two jobs at a time": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}
# As files.aside, the phantom and the list of a grid's jobs name what is not to stay.
_HALF_WRITTEN = re.compile(r"\.(.+?)\.\d+(-\d+)?(\.replaced)?|\.(jobs)-.+-\d+")


@dataclass(frozen=True)
class Event:
    """What the witness saw.

    Attributes:
        time: Seconds since the epoch.
        job: The run's name.
        doing: training, validating or evaluating.
        epoch: Counted from 0.
        batch: Of a training step, counted from 0.
    """

    time: float
    job: str
    doing: str
    epoch: int
    batch: int


@dataclass(frozen=True)
class Grid:
    """A grid in a separate folder, which also holds its images and its cache.

    Attributes:
        folder: Where everything of it lies.
        models: Models of its jobs.
        seeds: Seeds of each model.
        epochs: Largest number of epochs of a job.
        options: More overrides.
    """

    folder: Path
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    epochs: int
    options: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The command that starts it and, given again, goes on with it."""
        witness = "+callbacks.witness"
        return [
            "python", "train.py", "-m", f"model={','.join(self.models)}", f"seed={','.join(map(str, self.seeds))}",
            "name=${model.name}__seed-${seed}", f"group={_GROUP}", f"runs_dir={self.folder}",
            f"data.root={self.folder / 'images'}", f"data.cache={self.folder / 'cache'}",
            f"trainer.max_epochs={self.epochs}", *_OPTIONS,
            f"{witness}._target_=benchmarks.chaos.witness.Witness", f"{witness}.path={self.witness}",
            f"{witness}.job=${{name}}", *self.options,
        ]  # fmt: skip

    @property
    def witness(self) -> Path:
        """What the jobs were doing, a line per event."""
        return self.folder / "witness"

    @property
    def runs(self) -> dict[str, RunDir]:
        """The run of each job by its name, whether it is there or not."""
        names = [f"{model}__seed-{seed}" for model, seed in product(self.models, self.seeds)]
        return {name: RunDir(self.folder / _GROUP / name) for name in names}

    def events(self, since: float = 0.0) -> list[Event]:
        """Read what the witness saw, in its order."""
        if not self.witness.is_file():
            return []
        lines = [line.split() for line in self.witness.read_text().splitlines()]
        recorded = [Event(float(at), job, doing, int(epoch), int(batch)) for at, job, doing, epoch, batch in lines]
        return [event for event in recorded if event.time >= since]

    def half_written(self, since: float = 0.0) -> Iterator[tuple[Path, str]]:
        """Find files and folders that were being written when a process died.

        Args:
            since: Only those touched since then, in seconds since the epoch.

        Yields:
            Each with the name that it was to get.
        """
        for path in sorted(self.folder.rglob(".*")):
            if (match := _HALF_WRITTEN.fullmatch(path.name)) and _changed(path) >= max(since, 1.0):
                yield path, match[1] or match[4]

    def doing(self, since: float) -> str:
        """Read from the files what the newest job is, or was, doing.

        Args:
            since: When the process was started, in seconds since the epoch.
        """
        written = [name for _, name in self.half_written(since) if name != "jobs"]
        if written:
            return "drawing images" if written[0] == "images" else f"writing {_kind(written[0])}"
        touched = {name: self._taken_up(run) for name, run in self.runs.items()}
        name = max(touched, key=lambda job: touched[job])
        run = self.runs[name]
        if touched[name] < since:
            return "starting up"
        if run.status.get("state") == "complete":
            return "between two jobs"
        if _changed(run.config) < since:
            return "looking at the data"
        seen = [event for event in self.events(since) if event.job == name]
        return seen[-1].doing if seen else "building a job"

    def _taken_up(self, run: RunDir) -> float:
        """Return when a process last locked a run or wrote its config."""
        return max(_changed(run.path.with_name(f".{run.path.name}.lock")), _changed(run.config))

    def outcome(self) -> dict[str, Any]:
        """Return the state of each job."""
        return {name: run.status.get("state", "not started") for name, run in self.runs.items()}


def _kind(name: str) -> str:
    """Leave the hash out of a file's name."""
    return re.sub(r"-[0-9a-f-]{6,}", "", name)


def _changed(path: Path) -> float:
    """Return when a file was changed, in seconds since the epoch; 0 where there is none (any more)."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
