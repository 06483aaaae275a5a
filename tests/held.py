"""A callback for tests that stop a run: it holds the run until the signal comes, however slow the machine is."""

import os
import time
from contextlib import suppress
from pathlib import Path

import lightning.pytorch as pl

from bus_lightning.training.callbacks.checkpoints import ResumePoint

HOLD = "BUS_LIGHTNING_TEST_HOLD"  # names a folder: the run waits for a stop signal, and writes there that it waits
CALLBACK = "+callbacks.held._target_=held.Held"  # needs PATH on PYTHONPATH
PATH = str(Path(__file__).parent)
_MOMENT = (1, 1)  # epoch, batch: an epoch is complete and the next one has begun
LIMIT_S = 600  # of a command: ten times what it takes, as a busy machine may be slow


class Held(pl.Callback):
    """Note each training step in `steps.txt` of the run's folder, and wait at one of them for a signal."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if not trainer.is_global_zero:
            return
        (resume,) = (callback for callback in trainer.callbacks if isinstance(callback, ResumePoint))
        run = resume.path.parents[1]
        with (run / "steps.txt").open("a") as steps:
            steps.write(f"{trainer.current_epoch} {batch_idx}\n")
        if (folder := os.environ.get(HOLD)) and (trainer.current_epoch, batch_idx) == _MOMENT:
            Path(folder, run.name).touch()
            deadline = time.monotonic() + LIMIT_S
            while resume.signals.received is None and time.monotonic() < deadline:
                time.sleep(0.01)


def environment(hold=None):
    """Make the environment of a command with this callback; with a folder to hold in, its runs wait for a signal."""
    path = os.pathsep.join([PATH, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path} | ({HOLD: str(hold)} if hold else {})


def steps_of(run):
    """Return the (epoch, batch) of each step that a run has begun, in their order."""
    return [tuple(map(int, line.split())) for line in (run / "steps.txt").read_text().splitlines()]


def wait_for(condition, seconds=LIMIT_S):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(group):
    """Return whether all processes of a group end within a minute."""
    with suppress(ProcessLookupError):
        for _ in range(600):
            os.killpg(group, 0)
            time.sleep(0.1)
        return False
    return True
