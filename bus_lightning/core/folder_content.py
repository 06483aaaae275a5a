"""Tell whether the files of a folder are the same as before."""

import hashlib
import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular

_LARGEST_READ = 50_000_000  # bytes; of a larger file, size and times count


def digest_folder(
    folder: Path,
    skip: Callable[[Path], bool] = lambda path: False,
    by_time: Callable[[Path], bool] = lambda path: False,
) -> str:
    """Hash the names and the content of all files in a folder, also of those behind links; or of a single file.

    Args:
        folder: The folder, or a file; it may be missing.
        skip: Says which files and folders do not count.
        by_time: Says which files are not read: their size, inode and times count. The time of change cannot be set, so
            that every change shows.

    Returns:
        The hash, in hex.
    """
    digest = hashlib.blake2b(digest_size=20)
    _add(digest, folder, "", skip, by_time, ())
    return digest.hexdigest()


def _add(digest: "hashlib.blake2b", path: Path, name: str, skip: Callable[[Path], bool],
         by_time: Callable[[Path], bool], parents: Collection[tuple[int, int]]) -> None:  # fmt: skip
    try:
        status = path.stat()
        place = status.st_dev, status.st_ino
        if stat.S_ISDIR(status.st_mode):
            digest.update(f"{name}/\0".encode(errors="surrogateescape"))
            if place not in parents:  # a link to a folder around it
                for child in sorted(path.iterdir()):
                    if not skip(child):
                        _add(digest, child, f"{name}/{child.name}", skip, by_time, {*parents, place})
            return
        if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST_READ and not by_time(path):
            with open_regular(path) as stream:
                content = hashlib.file_digest(stream, "blake2b").hexdigest()
        else:
            content = repr(version_of(status))
    except (OSError, UserError) as error:
        content = f"{type(error).__name__} {error}"
    digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))


def version_of(status: os.stat_result) -> list[int]:
    """Return what tells versions of a file apart without reading it: inode, size, times of change."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
