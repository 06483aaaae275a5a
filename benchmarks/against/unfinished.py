"""The note of an interrupted benchmark: what it has measured already."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from bus_lightning.core.files import write_aside


class Unfinished:
    """What a command has measured so far; the same command reads it again.

    Args:
        file: Where it is noted.
        task: What is measured; the note of another task counts for nothing.
    """

    def __init__(self, file: Path, task: dict[str, Any]) -> None:
        self._file, self._task = file, task
        self._done: dict[str, str] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads(file.read_text())
            self._done = dict(noted["done"]) if noted["task"] == task else {}

    def has(self, script: Path) -> bool:
        """Tell whether a probe was measured, and is still the same."""
        return self._done.get(script.stem) == _checksum(script)

    def add(self, script: Path) -> None:
        """Note that a probe was measured."""
        self._done[script.stem] = _checksum(script)
        write_aside(self._file, json.dumps({"task": self._task, "done": self._done}))

    def forget(self) -> None:
        """Remove the note: everything was measured."""
        self._file.unlink(missing_ok=True)


def _checksum(script: Path) -> str:
    return hashlib.sha256(script.read_bytes()).hexdigest()
