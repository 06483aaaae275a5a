"""Errors in one line that says what is wrong and what to do."""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus_lightning.core.printable import printable

_LINE_END = re.compile(r"\s*[\r\n]\s*")

RESTORE = "Restore it from a copy, or train the run again with rerun=true"  # a damaged file of a run


class UserError(Exception):
    """A mistake in the input that the user can correct.

    The message is one printable line that names the file or option and the cure; the command line prints it without a
    traceback.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(_LINE_END.sub(" ", str(message))))


class OccupiedError(UserError):
    """A run folder belongs to another experiment or process, and is left as it is."""


class DamagedError(UserError):
    """A damaged file of a run; tables and reports show the run as damaged, or leave out the part, with this message.

    Args:
        path: The file.
        problem: What is wrong with it, and where.
        cure: What to do; a sentence without the full stop.
    """

    def __init__(self, path: Path, problem: str, cure: str = RESTORE) -> None:
        super().__init__(f"{printable(path)} is damaged: {' '.join(problem.split())}. {cure}.")

    def __reduce__(self) -> Any:
        """Pickle the message and the notes, which come from another process."""
        return (_damaged, *super().__reduce__()[1:])


def _damaged(message: str) -> DamagedError:
    error = DamagedError.__new__(DamagedError)
    UserError.__init__(error, message)
    return error


@contextmanager
def cured_by(cure: str) -> Iterator[None]:
    """Give errors about damaged files another cure than to train the run again.

    Args:
        cure: As in `DamagedError`.

    Raises:
        DamagedError: With this cure, unless it already has one of its own.
    """
    try:
        yield
    except DamagedError as error:
        raise _damaged(str(error).replace(f"{RESTORE}.", f"{cure}.")) from error


class WeightsMissingError(UserError):
    """Pretrained weights of a model cannot be found or downloaded; the table of the grid says so."""


class DivergedError(UserError):
    """The training loss is not a number."""


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
_ONE_VALUE = "Expected more than 1 value per channel when training"
_WRITTEN_IN_PART = re.compile(r"\d+ requested and \d+ written")  # by NumPy, which gives no number
_DISK = {
    errno.ENOSPC: "the disk is full: make room, or choose {option}",
    errno.EDQUOT: "the disk quota is used up: make room, or choose {option}",
    errno.EROFS: "it cannot be written because its file system is read-only: choose {option}",
    errno.EACCES: "permission denied: choose {option}, or change its permissions",
    errno.EPERM: "permission denied: choose {option}, or change its permissions",
    errno.ENOENT: "it does not exist (any more): bring it back, or choose {option}",
    errno.ENOTDIR: "a file is in the place of a folder: move the file, or choose {option}",
    errno.EEXIST: "a file is in the place of a folder: move the file, or choose {option}",
    errno.EISDIR: "a folder is in the place of a file: move the folder, or choose {option}",
    errno.ELOOP: "it is a link that leads to itself: choose {option}",
    errno.ENAMETOOLONG: "its name is too long: choose {option}",
    errno.EFBIG: "its file system takes no file of this size: choose {option}",
    errno.EIO: "the disk does not answer: check it, or choose {option}",
    errno.ESTALE: "the disk does not answer: check it, or choose {option}",
}


def disk_trouble(error: BaseException, options: Mapping[str, Path] | None = None) -> str | None:
    """Describe a problem with a disk or file system in one line, with what to do; None for any other error.

    Args:
        error: The error that was raised.
        options: Option -> folder that it names, or words for a place that no option of the command names. The message
            names the option whose folder holds the file.
    """
    if not isinstance(error, OSError):
        return None
    number = errno.ENOSPC if _WRITTEN_IN_PART.search(str(error)) else error.errno
    if number not in _DISK:
        return None
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    chosen = _options_of(Path(path), options or {}) if path else []
    names = " or ".join(f"another {name}" if " " in name else f"{name}=..." for name in chosen)
    cure = _DISK[number].format(option=names or "another folder")
    return printable(f"{path}: {cure}" if path else cure) + f", and give the same command again ({_named(error)})"


def _options_of(file: Path, options: Mapping[str, Path]) -> list[str]:
    """Name the option whose folder holds a file, or would be created in it: the nearest; several that are as near."""
    ranked: dict[tuple[bool, int], list[str]] = {}
    for option, folder in options.items():
        for place, own in ((file.absolute(), folder.absolute()), (file.resolve(), folder.resolve())):
            holds = place.is_relative_to(own)
            is_next_to_it = place.parent == own.parent and place.name.startswith(f".{own.name}.")  # as a lock
            if holds or is_next_to_it or own.is_relative_to(place):
                ranked.setdefault((holds, len(own.parts)), []).append(option)
                break
    return ranked[max(ranked)] if ranked else []


def explain(error: BaseException) -> str:
    """Say in one line what went wrong with a job, and what to do about it.

    Args:
        error: What the job raised.
    """
    if isinstance(error, UserError):
        return first_line(error)
    return _cure(error) or f"{_named(error)} (see error.txt)"


def reason(error: BaseException) -> str:
    """Return the type and message of an error, with what to do if that is known."""
    return _cure(error) or (f"{type(error).__name__}: {error}" if str(error).strip() else type(error).__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the memory of the machine or of its accelerator was too small."""
    return isinstance(error, MemoryError) or any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY)


def _cure(error: BaseException) -> str | None:
    line = _named(error)
    if is_out_of_memory(error):
        return f"{line} (out of memory: lower data.batch_size or data.size, or run fewer jobs side by side)"
    if _ONE_VALUE in line:
        return f"{line} (a batch norm needs several values: raise data.batch_size or data.size)"
    return disk_trouble(error)


def _named(error: BaseException) -> str:
    line = first_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, safe for a terminal; empty if it has none."""
    return printable(str(error).partition("\n")[0].strip())
