"""Write files and folders completely or not at all, refuse to replace foreign ones, and hash files."""

import ctypes
import hashlib
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import interruptible
from bus_lightning.core.reading import open_regular

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


def checksum(file: Path) -> str:
    """Compute the SHA-256 of a regular file, in hex.

    Raises:
        UserError: In one line without the file's name, if it cannot be opened.
    """
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_checksums(folder: Path, names: Iterable[str]) -> str:
    """List the checksums of files in a folder in the format of `sha256sum`, a line each.

    Raises:
        UserError: In one line without the file's name, if a file cannot be opened.
    """
    return "".join(f"{checksum(folder / name)}  {name}\n" for name in names)


def is_there(path: Path) -> bool:
    """Tell whether anything has this name: a file, a folder, a pipe, or what may not be looked at.

    A link to nothing counts as nothing.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_folder(path: Path) -> bool:
    """Say whether a path is a folder; one that cannot be looked up is none."""
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def refuse_foreign(out: Path, is_own: Callable[[Path], bool], error: str) -> None:
    """Refuse to replace a file, or a folder that another program or person has filled.

    Args:
        out: The folder that is to be replaced.
        is_own: Tells whether a filled folder may be replaced.
        error: The message.

    Raises:
        UserError: With the message, if `out` must stay.
    """
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or is_own(out))):
        raise UserError(error)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error about the disk; Python names it only if it cannot be opened."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` when the block succeeds.

    After a full disk, an exception or a kill, the file at `path` is the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with _naming(path):
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_aside(out: Path) -> Iterator[Path]:
    """Yield a new, empty folder next to `out`, and replace `out` by it when the block succeeds.

    The old folder stays complete until then, and comes back if the new one cannot replace it. On Linux the two are
    swapped in one step, so that a kill at any moment leaves one of them in place. SIGTERM and a closed terminal end the
    block with `Interrupted`, so that the new folder is removed.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.{os.getpid()}-{threading.get_ident()}")
    old = fresh.with_name(f"{fresh.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a killed process of the same number
    try:
        with interruptible(keyboard=False):
            fresh.mkdir()
            with _naming(out):
                yield fresh
        if _swap(fresh, out):
            return
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _swap(first: Path, second: Path) -> bool:
    """Swap two folders in one step; say whether that was possible. Python has no call for it, Linux has."""
    call = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" and second.is_dir() else None
    paths = _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second)
    return call is not None and call(*paths, _RENAME_EXCHANGE) == 0


def write_aside(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    with aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_together(texts: Mapping[Path, str]) -> None:
    """Write text files in UTF-8 byte for byte: all of them, or none if one cannot be written.

    A link stays a link, and the file that it leads to is written. The permissions of a file stay.

    Args:
        texts: File -> text.

    Raises:
        UserError: If a file is read-only, or a folder has its name.
    """
    files = {path.resolve(): text for path, text in texts.items()}
    for file in filter(Path.exists, files):
        if not file.is_file():
            raise UserError(f"{file}: a folder or a device has this name; move it away.")
        if not os.access(file, os.W_OK):  # its folder alone decides whether it can be replaced
            raise UserError(f"{file} is read-only: change its permissions, or name another file.")
    with ExitStack() as stack:
        for file, text in files.items():
            temporary = stack.enter_context(aside(file))
            with _naming(file):
                temporary.write_bytes(text.encode("utf-8"))
                if file.exists():
                    temporary.chmod(stat.S_IMODE(file.stat().st_mode))
