"""Callbacks of the measured runs: one times whole epochs, one stops a run in its second epoch."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from benchmarks.clock import stamp
from benchmarks.stamps import SKIPPED
from bus_lightning.core.files import write_aside


class Epochs(pl.Callback):
    """Time the steps of each epoch as one span, so that the host may run ahead of the device as it usually does.

    Args:
        path: The JSON that is written when training ends: `epochs`, when each began, in seconds since 1970; `spans`,
            images and seconds of each epoch's steps, without the first two; `shape`, (B, C, H, W) of a batch; and
            `peak_mb` of the device's memory, None on a CPU.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.content: dict[str, Any] = {"epochs": [], "spans": [], "shape": [], "peak_mb": None}
        self._begin, self._images = 0.0, 0

    def on_fit_start(self, *_: Any) -> None:
        """Forget the memory of the runs before."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_train_epoch_start(self, *_: Any) -> None:
        """Note the start of an epoch."""
        stamp()
        self.content["epochs"].append(time.time())

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin the span."""
        if batch_idx == SKIPPED:
            self._begin, self._images = stamp(), 0
            self.content["shape"] = list(batch["image"].shape)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images; end the span after the last step."""
        if batch_idx >= SKIPPED:
            self._images += len(batch["id"])
            if batch_idx + 1 == trainer.num_training_batches:
                self.content["spans"].append([self._images, stamp() - self._begin])

    def on_train_end(self, *_: Any) -> None:
        """Write the file."""
        if torch.cuda.is_available():
            self.content["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
        write_aside(self.path, json.dumps(self.content))


class StopOnce(pl.Callback):
    """Send SIGTERM to this process within the second epoch, unless a file says that it was sent before.

    Args:
        flag: The file.
    """

    def __init__(self, flag: str) -> None:
        self.flag = Path(flag)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop in the second step of the second epoch."""
        if (trainer.current_epoch, batch_idx) == (1, 1) and not self.flag.exists():
            self.flag.touch()
            signal.raise_signal(signal.SIGTERM)
