"""The end of a command whose output nobody reads any more, as in `bus-diagnose --card | head`."""

import os
import sys


def leave_closed_output(error: BaseException) -> bool:
    """Say whether an error means that the reader of the output has closed it; other pipes can break, too.

    Such an output leads nowhere from then on, so that Python can flush it at its end.

    Args:
        error: What was raised.
    """
    if not isinstance(error, BrokenPipeError):
        return False
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
