"""The file of time stamps: where each training step of a process began."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

SKIPPED = 2  # the first steps allocate memory and choose kernels


def write_stamps(path: Path, starts: list[float], **moments: float) -> None:
    """Write the starts of the steps, in seconds, and single moments by name, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"starts": starts} | moments))


def read_stamps(path: Path) -> dict[str, Any]:
    """Read what `write_stamps` wrote."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def step_seconds(path: Path) -> list[float]:
    """Read how long each steady step took.

    Returns:
        Differences of consecutive starts, so that all that happens between two steps counts, without the first ones.
    """
    starts = read_stamps(path)["starts"][SKIPPED:]
    return [after - before for before, after in pairwise(starts)]
