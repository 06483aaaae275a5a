"""Workers of joblib that save their runs before they are ended."""

import os
import sys
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

from joblib.parallel import LokyBackend, register_parallel_backend

from bus_lightning.core.interruption import WARNINGS, keep_signals
from bus_lightning.core.workarounds import loky_pids, reset_start_method

_PATIENCE = 300  # seconds, for a step and a checkpoint, or a validation; a second signal stops at once


class SavingBackend(LokyBackend):  # type: ignore[misc]
    """joblib's processes, with time to save before joblib kills them.

    joblib kills them when a signal stops the command, and when a job stops the grid (`fail_fast=true`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._jobs: set[Future[Any]] = set()

    def configure(self, *args: Any, **kwargs: Any) -> Any:
        """Start the workers."""
        return super().configure(*args, **kwargs, initializer=_initialise)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a job, and remember it until it has ended."""
        future = super().submit(*args, **kwargs)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    def abort_everything(self, *args: Any, **kwargs: Any) -> None:
        """End the workers after they have saved; a second signal to the command ends them at once."""
        try:
            self._wait_for_saving()
        finally:
            super().abort_everything(*args, **kwargs)

    def _wait_for_saving(self) -> None:
        if not (jobs := {job for job in self._jobs.copy() if not job.done()}):
            return
        # A warning, not the signal of the command: Ctrl-C reaches all processes, and a second one stops a job at once.
        for number in WARNINGS:
            for process in loky_pids(self):
                with suppress(ProcessLookupError):
                    os.kill(process, number)
        print("Waiting until the running jobs have saved their state; repeat to stop at once.", file=sys.stderr)
        wait(jobs, timeout=_PATIENCE)


def _initialise() -> None:
    """Keep signals from ending a worker between two runs, and let it start processes that read data."""
    keep_signals()
    reset_start_method()


def let_workers_save() -> None:
    """Replace joblib's backend of this name, which Hydra's plugin uses."""
    register_parallel_backend("loky", SavingBackend)
