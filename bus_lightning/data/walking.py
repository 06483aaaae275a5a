"""Walk through a folder that others made: a bounded number of files and folders deep, and never through a link."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from bus_lightning.core.errors import UserError

MOST_ENTRIES = 500_000  # the largest public set has some thousand files
DEEPEST = 8  # folders in each other


def walk(root: Path, most: int = MOST_ENTRIES) -> Iterator[Path]:
    """Yield the files below a folder, links to files among them, sorted within each folder; hidden ones are left out.

    Args:
        root: The folder.
        most: How many files and folders there may be.

    Raises:
        UserError: If there are more, or folders lie more than 8 deep: the folder is a disk, not a data set.
    """
    waiting, number = [(root, 0)], 0
    while waiting:
        folder, depth = waiting.pop()
        inner = []
        for entry in _entries(folder, most):
            number += 1
            if number > most:
                raise UserError(
                    f"{root} has more than {most:,} files and folders: set data.root to the folder of the data set."
                )
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                yield Path(entry.path)
            elif not entry.is_symlink():
                inner.append(Path(entry.path))
        if inner and depth == DEEPEST:
            raise UserError(
                f"{inner[0]} lies more than {DEEPEST} folders deep: set data.root to the folder of the data set."
            )
        waiting += [(place, depth + 1) for place in reversed(inner)]


def _entries(folder: Path, most: int) -> "list[os.DirEntry[str]]":
    with suppress(OSError), os.scandir(folder) as entries:  # no permission: nothing is in it
        return sorted(islice(entries, most + 1), key=lambda entry: entry.name)
    return []


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    with suppress(OSError):  # a link that leads to itself
        return entry.is_dir()
    return False
