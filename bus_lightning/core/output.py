"""The output of our commands: what its encoding lacks, and its end when its reader has gone, as in `... | head`."""

import atexit
import os
import sys
from functools import cache
from io import TextIOWrapper
from types import TracebackType


def prepare_output() -> None:
    """Print what the terminal's encoding lacks as an escape, and end without a traceback if the output is closed."""
    if isinstance(sys.stdout, TextIOWrapper):  # not in a notebook
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python does on the standard error
    _end_quietly()


@cache
def _end_quietly() -> None:
    """Leave a closed output where an error ends the program, and where Python would flush its last lines."""
    show = sys.excepthook

    def show_unless_closed(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if not leave_closed_output(error):
            show(kind, error, where)

    sys.excepthook = show_unless_closed
    atexit.register(_flush_last_lines)


def _flush_last_lines() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _lead_nowhere()


def _lead_nowhere() -> None:
    """Send the output to the null device, so that Python can flush it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave_closed_output(error: BaseException) -> bool:
    """Say whether an error means that the reader of the output has closed it; other pipes can break, too.

    Such an output leads nowhere from then on.

    Args:
        error: What was raised.
    """
    if not isinstance(error, BrokenPipeError):
        return False
    try:
        print(flush=True)
    except BrokenPipeError:
        _lead_nowhere()
        return True
    return False
