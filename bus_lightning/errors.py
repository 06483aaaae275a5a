"""What went wrong, in one line that says what to do."""

import errno


class UserError(Exception):
    """A mistake in the input that the user can mend.

    The message is one line that names the file or option and the cure; the command line prints it without a traceback.
    """


class OccupiedError(UserError):
    """A run folder belongs to another experiment or another process, and is left as it is."""


class WeightsMissingError(UserError):
    """Weights that a model asks for cannot be had here; the grid's table says so."""


class DivergedError(UserError):
    """The training loss is no number any more."""


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
_DISK = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room",
    errno.EROFS: "it cannot be written, for its file system is read-only: choose another runs_dir=...",
    errno.EACCES: "permission denied: choose another folder, or change its permissions",
    errno.ENOENT: "it is not there (any more): bring it back",
}


def disk_trouble(error: BaseException) -> str | None:
    """Say in one line how a disk or a file system stands in the way, and the cure; None where none does."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{_DISK[error.errno]}, and give the same command again ({_named(error)})"


def explain(error: BaseException) -> str:
    """Say in one line what went wrong with a job, and what to do about it.

    Args:
        error: What the job raised.
    """
    if isinstance(error, UserError):
        return _first_line(error)
    said = _named(error)
    if isinstance(error, MemoryError) or any(phrase in said.lower() for phrase in _OUT_OF_MEMORY):
        return f"{said} (out of memory: lower data.batch_size or data.size, or run fewer jobs side by side)"
    return disk_trouble(error) or f"{said} (see error.txt)"


def _named(error: BaseException) -> str:
    line = _first_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip()
