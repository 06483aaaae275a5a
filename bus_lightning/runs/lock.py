"""The lock of a run's folder, which names its owner: one process at a time."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bus_lightning.core.errors import DamagedError, OccupiedError
from bus_lightning.core.files import is_there

log = logging.getLogger(__name__)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder while the block runs.

    The kernel releases the lock when its owner dies, whatever killed it. The lock file, next to the folder, still names
    the dead process.

    Args:
        folder: The run's folder.

    Raises:
        DamagedError: If something else than a file has its name.
        OccupiedError: If another process holds it; names the process, its machine, and for how long.
    """

    def take_over(descriptor: int) -> None:
        if before := _read(os.read(descriptor, 1000)):
            log.warning("%s: %s died without an error (killed, or out of memory?); taking it over.",
                        folder, before)  # fmt: skip
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)

    file = lock_file(folder)
    if is_there(file) and not file.is_file():
        raise DamagedError(file, "it is not the lock of a run but a folder, a pipe or a device", cure="Remove it")
    lock = FileLock(file, on_acquired=take_over)
    try:
        lock.acquire(timeout=0.5)  # `is_owned` holds it for a moment
    except Timeout:
        owner = _read(file.read_bytes() if file.is_file() else b"") or "another process"
        raise OccupiedError(f"{folder} is in use by {owner}; wait for it, or stop it first.") from None
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone
            os.truncate(file, 0)  # a filled file means that its process died
        lock.release()


def lock_file(folder: Path) -> Path:
    """Return the path of the lock of a run's folder."""
    return folder.with_name(f".{folder.name}.lock")


def is_owned(folder: Path) -> bool:
    """Return whether a process is working on a run."""
    try:
        if not lock_file(folder).is_file():
            return False
        with FileLock(lock_file(folder), blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # it cannot be written: no process of this user holds it
        return False


def _read(content: bytes) -> str | None:
    """Describe the owner that a lock file names."""
    try:
        owner = json.loads(content)
        minutes = (time.time() - owner["since"]) / 60
        return f"process {owner['pid']} on {owner['host']} (since {minutes:.0f} min)"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
