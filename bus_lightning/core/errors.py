"""Errors in one line that says what is wrong and what to do."""

import errno
from collections.abc import Mapping
from pathlib import Path

RESTORE = "Restore it from a copy, or train the run again with rerun=true"  # a damaged file of a run


class UserError(Exception):
    """A mistake in the input that the user can correct.

    The message is one line that names the file or option and the cure; the command line prints it without a traceback.
    """


class OccupiedError(UserError):
    """A run folder belongs to another experiment or process, and is left as it is."""


class DamagedError(UserError):
    """A damaged file of a run; tables and reports show the run as damaged, or leave out the part, with this message.

    Args:
        path: The file.
        what: What is wrong with it, and where.
        cure: What to do; a sentence without the full stop.
    """

    def __init__(self, path: Path, what: str, cure: str = RESTORE) -> None:
        super().__init__(f"{path} is damaged: {' '.join(what.split())}. {cure}.")


class WeightsMissingError(UserError):
    """Pretrained weights of a model cannot be found or downloaded; the table of the grid says so."""


class DivergedError(UserError):
    """The training loss is not a number."""


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
_ONE_VALUE = "Expected more than 1 value per channel when training"
_DISK = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room",
    errno.EROFS: "it cannot be written because its file system is read-only: choose {option}",
    errno.EACCES: "permission denied: choose {option}, or change its permissions",
    errno.ENOENT: "it does not exist (any more): bring it back, or choose {option}",
}


def disk_trouble(error: BaseException, options: Mapping[str, Path] | None = None) -> str | None:
    """Describe a problem with a disk or file system in one line, with what to do; None for any other error.

    Args:
        error: The error that was raised.
        options: Option -> folder that it names; the message names the option whose folder holds the file.
    """
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    place = f"{error.filename}: " if error.filename else ""
    option = _option_of(Path(str(error.filename)), options or {}) if error.filename else None
    cure = _DISK[error.errno].format(option=f"{option}=..." if option else "another folder")
    return f"{place}{cure}, and give the same command again ({_named(error)})"


def _option_of(file: Path, options: Mapping[str, Path]) -> str | None:
    """Name the option whose folder holds a file, or would be created in it; if there are several, the nearest."""
    file, ranked = file.absolute(), []
    for option, folder in options.items():
        folder = folder.absolute()
        holds = file.is_relative_to(folder)
        if holds or folder.is_relative_to(file) or file.parent == folder.parent:  # above, or a lock next to it
            ranked.append((holds, len(folder.parts), option))
    return max(ranked)[2] if ranked else None


def explain(error: BaseException) -> str:
    """Say in one line what went wrong with a job, and what to do about it.

    Args:
        error: What the job raised.
    """
    if isinstance(error, UserError):
        return _first_line(error)
    return _cure(error) or f"{_named(error)} (see error.txt)"


def reason(error: BaseException) -> str:
    """Return the type and message of an error, with what to do if that is known."""
    return _cure(error) or (f"{type(error).__name__}: {error}" if str(error).strip() else type(error).__name__)


def _cure(error: BaseException) -> str | None:
    line = _named(error)
    if isinstance(error, MemoryError) or any(phrase in line.lower() for phrase in _OUT_OF_MEMORY):
        return f"{line} (out of memory: lower data.batch_size or data.size, or run fewer jobs side by side)"
    if _ONE_VALUE in line:
        return f"{line} (a batch norm needs several values: raise data.batch_size or data.size)"
    return disk_trouble(error)


def _named(error: BaseException) -> str:
    line = _first_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip()
