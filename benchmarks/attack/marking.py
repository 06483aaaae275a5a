"""Code that would leave a file if anything ran it, and does nothing else."""

import os
from pathlib import Path
from typing import Any


class Marker:
    """An object whose unpickling makes a folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (self.path, 0o755, True)
