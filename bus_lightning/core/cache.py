"""Keep computed results in files that are used only while their checksum is right; a damaged one is made again.

The last line of such a file is the SHA-256 of its name and content. A file that was cut off, changed, or copied from
another name does not match. The checksum finds damage; it does not keep out an attacker who can write a new one.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside
from bus_lightning.core.reading import open_regular

log = logging.getLogger(__name__)
T = TypeVar("T")
_SEAL = re.compile(rb"\nsha256 ([0-9a-f]{64})\n")
SEAL_BYTES = len("\nsha256 \n") + 64
_CHUNK = 1 << 20  # bytes that are hashed at a time
_TICK_S = 0.1  # two changes within one tick of a file system's clock leave the same time
_Version = tuple[int, ...]
_whole: dict[Path, _Version] = {}  # large files -> the version that this process has checked
_not_kept: set[Path] = set()  # folders that cannot be written, which the log names
_reported: dict[Path, _Version] = {}  # damaged files -> the version that the log names


@contextmanager
def caching(path: Path) -> Iterator[Path]:
    """Yield a temporary path for the content of a cached file; add the checksum when the block succeeds.

    The file appears complete or not at all. A folder or link in its place is removed.
    """
    with aside(cleared(path)) as temporary:
        yield temporary
        with temporary.open("rb") as stream:
            digest = _digest(stream, path.name, temporary.stat().st_size)
        with temporary.open("ab") as stream:
            stream.write(b"\nsha256 " + digest.encode() + b"\n")


def write_cached(path: Path, content: bytes) -> None:
    """Write the content of a cached file, as `caching` does."""
    with caching(path) as temporary:
        temporary.write_bytes(content)


def keep_cached(path: Path, content: bytes) -> None:
    """Write a cached file where that is possible; without it, the result is computed again the next time."""
    try:
        write_cached(path, content)
    except OSError as error:
        if path.parent not in _not_kept:
            log.warning("%s cannot be written (%s): what it would hold is computed again each time.", path.parent,
                        error.strerror or error)  # fmt: skip
        _not_kept.add(path.parent)


def read_cached(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """Read a cached file.

    Args:
        path: The file.
        parse: Turns the content into the result; any error that it raises means that the file is damaged.

    Returns:
        The result; None if the file is missing, or if it is damaged, which is logged once.
    """
    with _open_whole(path) as stream:
        if stream is None:
            return None
        try:
            return parse(stream.read()[:-SEAL_BYTES])
        except Exception as error:
            _report(path, f"it does not hold what it should ({type(error).__name__})")
            return None


def is_whole(path: Path, start: bytes = b"", size: int | None = None) -> bool:
    """Check whether a cached file exists and has the right checksum; damage is logged once.

    A process checks the same version of a file only once, because hashing a large one takes a while.

    Args:
        path: The file.
        start: The first bytes that its content must have.
        size: The bytes that its content must have; None accepts any number.
    """
    if path in _whole and _whole[path] == _version(path):
        return True
    with _open_whole(path, start, size) as stream:
        if stream is None:
            return False
        version = _version(path)
        if version and time.time_ns() - version[-1] > _TICK_S * 1e9:
            _whole[path] = version
        return True


@contextmanager
def _open_whole(path: Path, start: bytes = b"", size: int | None = None) -> Iterator[BufferedReader | None]:
    """Open a cached file, and check it; yield None if it is missing or damaged."""
    if not os.path.lexists(path):
        yield None
        return
    try:
        stream = open_regular(path)
    except UserError as error:
        _report(path, "it is a folder" if path.is_dir() else str(error).partition(":")[0].rstrip("."))
        yield None
        return
    with stream:
        try:
            damage = _damage(stream, path.name, start, size)
            stream.seek(0)
        except OSError as error:
            damage = f"it cannot be read ({error.strerror})"
        if damage:
            _report(path, damage)
        yield None if damage else stream


def mark_used(path: Path) -> None:
    """Set a cached file's time, by which the least recently used ones are found; a process need not check it again."""
    was_checked = path in _whole and _whole[path] == _version(path)
    with suppress(OSError):  # the folder may belong to another user
        os.utime(path)
    if was_checked:
        _whole[path] = _version(path)


def cleared(path: Path) -> Path:
    """Remove a folder or link that has the name of a cached file or of its lock, and return the path.

    The target of a link stays.
    """
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    return path


def _damage(stream: BufferedReader, name: str, start: bytes, expected: int | None) -> str:
    """Describe why a cached file cannot be trusted; empty if it is whole."""
    size = os.fstat(stream.fileno()).st_size - SEAL_BYTES
    if size < 0:
        return "it is empty or cut off"
    stream.seek(size)
    if not (seal := _SEAL.fullmatch(stream.read())):
        return "it has no checksum, or is cut off"
    stream.seek(0)
    if stream.read(len(start)) != start or expected not in (None, size):
        return "it holds something else"
    stream.seek(0)
    return "" if _digest(stream, name, size).encode() == seal[1] else "its checksum differs"


def _digest(stream: BufferedReader, name: str, size: int) -> str:
    """Hash a name and the first `size` bytes of a file."""
    digest = hashlib.sha256(f"{name}\0".encode())
    while size > 0 and (chunk := stream.read(min(size, _CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()


def _version(path: Path) -> _Version:
    """Tell versions of a file apart by inode, size and time of change; empty for one that cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _report(path: Path, damage: str) -> None:
    version = _version(path)
    if _reported.get(path) != version:
        log.warning("%s is made again: %s.", path, damage)
    _reported[path] = version
