"""A private folder for the visitors' files. What a killed page leaves is removed at the next start."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows: folders of killed pages stay there
    fcntl = None  # type: ignore[assignment]

_PREFIX = "bus_lightning-page-"
_LOCKED = f"{_PREFIX}*-*"  # the folders that hold a lock; those of earlier versions have none


@contextmanager
def private_folder() -> Iterator[Path]:
    """Create a folder that only this user can read, and remove it at the end.

    First, the folders that killed pages of this user left are removed.

    The folder of a running page is locked, and the system drops the lock when the process ends, however it ends.
    """
    with suppress(OSError):
        _remove_dead()
    place = Path(tempfile.gettempdir())
    new = Path(tempfile.mkdtemp(prefix="bus_lightning-new-"))
    lock = _lock(new)
    # It is locked first, and then gets the name by which other pages find folders of killed pages.
    folder = new.rename(place / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_dead() -> None:
    """Remove the folders of this user that no process holds."""
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(_LOCKED):
        with suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or folder.is_symlink() or not folder.is_dir():
                continue
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed; None if another process holds it, or there are no such locks."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
