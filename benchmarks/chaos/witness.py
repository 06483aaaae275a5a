"""A Lightning callback that writes down what each job of a grid is doing, in a file that survives a kill."""

import os
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl


class Witness(pl.Callback):
    """Write a line at the start of each training step, validation and evaluation.

    Args:
        path: The file that all jobs of a grid share; lines are added to it.
        job: The run's name.
    """

    def __init__(self, path: str, job: str) -> None:
        self.path = Path(path)
        self.job = job

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note a training step."""
        self._write("training", trainer.current_epoch, batch_idx)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note a validation: within the training, or of the kept epoch."""
        self._write("validating" if trainer.state.fn == "fit" else "evaluating", trainer.current_epoch)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note the end of the training."""
        self._write("evaluating", trainer.current_epoch)

    def _write(self, doing: str, epoch: int, batch: int = 0) -> None:
        # A single write of a short line: a kill leaves it whole or not there, and jobs side by side do not mix theirs.
        line = f"{time.time():.4f} {self.job} {doing} {epoch} {batch}\n".encode()
        stream = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(stream, line)
        os.close(stream)
