"""Measure how fast a run trains and how long it waits for data."""

import time
from statistics import median
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.processes import sum_over_processes


class Timing(pl.Callback):
    """Log the speed of each epoch, `time/images_per_second`, and the share of it between two steps.

    Between two steps little more happens than that a batch is made: `time/data_fraction` is the wait for data. The
    first step of an epoch, or of its rest after resuming, is left out, because other work comes before it. The clock is
    the host's, which runs ahead of a GPU: there, a large share means that the host is too slow. Several processes that
    train one network count their images together.
    """

    def __init__(self) -> None:
        # Images, seconds between steps, seconds in all: of the epoch, and of all epochs before it.
        self._epoch, self._run = np.zeros(3), np.zeros(3)
        self._started = 0.0
        self._ended: float | None = None  # of the step before; None if this process has made none

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the start of a step."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the times of a step."""
        before, self._ended = self._ended, time.perf_counter()
        if batch_idx > 0 and before is not None:  # a resumed epoch begins with a later step
            self._epoch += (len(batch["id"]), self._started - before, self._ended - before)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave a validation between two steps out."""
        self._ended = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's speed."""
        self._epoch[0] = float(sum_over_processes(trainer, torch.tensor(self._epoch[0])))
        pl_module.log_dict({f"time/{name}": value for name, value in _rates(self._epoch).items()})
        self._run, self._epoch = self._run + self._epoch, np.zeros(3)

    def summary(self) -> dict[str, float]:
        """Return the speed of the run, for its status; empty if no epoch had two steps."""
        return {name: round(value, 4) for name, value in _rates(self._run).items()}


def latency(task: BusTask, image: Tensor, repeats: int = 5) -> float:
    """Measure the median time of one prediction, from an image to logits in the host's memory, in milliseconds.

    Args:
        task: The trained task.
        image: (1, C, H, W) float32.
        repeats: Number of timed predictions, after one that is not timed.
    """
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        task.predict_logits(image)
        times.append(time.perf_counter() - started)
    return 1000 * median(times[1:])


def _rates(sums: np.ndarray) -> dict[str, float]:
    images, waited, seconds = sums.tolist()
    return {"images_per_second": images / seconds, "data_fraction": waited / seconds} if images else {}
