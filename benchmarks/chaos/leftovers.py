"""Processes that outlive the command which started them, found by a mark in their environment."""

import os
import time
from pathlib import Path

MARK = "CHAOS_LAUNCH"  # each launch gets another value, which all processes below it inherit
_PATIENCE_S = 60.0  # W&B's own process and joblib's workers need a moment to notice that their parent is dead


def processes_left(value: str, patience: float = _PATIENCE_S) -> list[str]:
    """Wait until the processes of a launch are gone.

    Args:
        value: That of `MARK` in their environment.
        patience: Seconds to wait.

    Returns:
        The names of those that are still there; empty on systems without `/proc`.
    """
    end = time.monotonic() + patience
    while (left := _marked(f"{MARK}={value}".encode())) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def _marked(mark: bytes) -> list[str]:
    """List the names of the processes whose environment has an entry; zombies have none."""
    names = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes().split(b"\0"):
                names.append((folder / "comm").read_text().strip())
        except OSError:  # it has ended, or belongs to another user
            continue
    return sorted(names)
