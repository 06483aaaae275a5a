"""Share the GPUs of a machine among jobs that run side by side: each uses the GPU with the fewest jobs."""

import getpass
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout


@contextmanager
def one_gpu(devices: Any, accelerator: str) -> Iterator[Any]:
    """Choose the GPU with the fewest jobs, and count this job there while the block runs.

    Not through CUDA_VISIBLE_DEVICES: a process reads it once, and a worker trains several jobs.

    Args:
        devices: `trainer.devices`.
        accelerator: `trainer.accelerator`.

    Yields:
        The devices to use: `[gpu]` if one device is wanted and there are several GPUs, else `devices`.
    """
    visible = torch.cuda.device_count()
    if visible < 2 or devices != 1 or accelerator not in ("auto", "gpu", "cuda"):
        yield devices
        return
    gpu, lock = _take(visible)
    try:
        yield [gpu]
    finally:
        lock.release()


def _take(visible: int) -> tuple[int, FileLock]:
    """Lock the first free place; the first places of all GPUs come before their second ones."""
    user = getattr(os, "getuid", getpass.getuser)()  # in a container, a user may have a number and no name
    folder = Path(tempfile.gettempdir()) / f"bus_lightning_gpus_{user}"
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
    raise AssertionError("a GPU always has another place")
