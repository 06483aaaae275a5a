"""Jobs side by side on one machine share its GPUs: each takes the one with the fewest jobs."""

import getpass
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig


@contextmanager
def gpu_of_its_own(cfg: DictConfig) -> Iterator[None]:
    """Let a run on any one GPU use the one with the fewest jobs while the block runs.

    Not through CUDA_VISIBLE_DEVICES: a process reads it once, and a worker trains several jobs.

    Args:
        cfg: The run's config; `trainer.devices` is set when it is 1 and there is a choice.
    """
    visible = torch.cuda.device_count()
    if visible < 2 or cfg.trainer.devices != 1 or cfg.trainer.accelerator not in ("auto", "gpu", "cuda"):
        yield
        return
    gpu, lock = _take(visible)
    cfg.trainer.devices = [gpu]
    try:
        yield
    finally:
        cfg.trainer.devices = 1
        lock.release()


def _take(visible: int) -> tuple[int, FileLock]:
    """Take the first free place: the first places of all GPUs come before the second ones."""
    folder = Path(tempfile.gettempdir()) / f"bus_lightning_gpus_{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    # Processes that see different GPUs number them differently.
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    for place in itertools.count():
        for gpu in range(visible):
            name = names[gpu] if len(names) == visible else gpu
            lock = FileLock(folder / f"gpu-{name}-place-{place}.lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return gpu, lock
    raise AssertionError("there is always another place")
