"""Jobs side by side on one machine: when their command stops, each worker saves its run before it is ended."""

import os
import sys
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

from joblib.parallel import LokyBackend, register_parallel_backend

from bus_lightning.core.interruption import WARNINGS, keep_signals
from bus_lightning.core.workarounds import loky_pids, reset_start_method

_PATIENCE = 300  # seconds: for a step and a checkpoint, or a validation; one who cannot wait sends the signal again


class SavingBackend(LokyBackend):  # type: ignore[misc]
    """joblib's processes, which are told to stop, and waited for, before joblib kills them.

    joblib does so when a signal stops the command, and when a job stops the grid (`fail_fast=true`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._jobs: set[Future[Any]] = set()

    def configure(self, *args: Any, **kwargs: Any) -> Any:
        """Start workers, each of which gets itself ready."""
        return super().configure(*args, **kwargs, initializer=_get_ready)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Give a job to the workers, and remember it until it has ended."""
        future = super().submit(*args, **kwargs)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    def abort_everything(self, *args: Any, **kwargs: Any) -> None:
        """End the workers, after they have saved; a further signal to the command ends them at once."""
        try:
            self._tell_to_stop()
        finally:
            super().abort_everything(*args, **kwargs)

    def _tell_to_stop(self) -> None:
        if not (jobs := {job for job in self._jobs.copy() if not job.done()}):
            return
        # Not by the signal that the command got: Ctrl-C reaches a whole group, and a second one stops a job at once.
        for number in WARNINGS:
            for process in loky_pids(self):
                with suppress(ProcessLookupError):
                    os.kill(process, number)
        print("Waiting until the running jobs have saved their state; again to stop at once.", file=sys.stderr)
        wait(jobs, timeout=_PATIENCE)


def _get_ready() -> None:
    """Let no signal end a worker between two runs, and let it start processes that read data (`data.workers`)."""
    keep_signals()
    reset_start_method()


def let_workers_save() -> None:
    """Let joblib's processes save their runs before they are ended; Hydra's plugin asks for them by this name."""
    register_parallel_backend("loky", SavingBackend)
