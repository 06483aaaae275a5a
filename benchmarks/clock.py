"""A clock for the training steps of a real run: a Lightning callback that ours and the baseline take alike."""

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from benchmarks.stamps import write_stamps


def stamp() -> float:
    """Read the clock, after the device has finished what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(pl.Callback):
    """Note when each training step starts.

    Args:
        path: The JSON that is written when training ends. `first_step` and `last_step_end` in it are seconds since
            the epoch, to be compared with those of other processes.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.starts: list[float] = []
        self.moments: dict[str, float] = {}

    def on_train_batch_start(self, *_: Any) -> None:
        """Note the start of a step."""
        self.starts.append(stamp())
        self.moments.setdefault("first_step", time.time())

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the end of what may be the last step."""
        self.moments["last_step_end"] = time.time()

    def on_train_end(self, *_: Any) -> None:
        """Write the file."""
        write_stamps(self.path, self.starts, **self.moments)
