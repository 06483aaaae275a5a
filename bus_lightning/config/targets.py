"""Explain why an object that the config names cannot be built: the cause itself, without Hydra's wrapping."""

import re
import traceback
from collections.abc import Callable
from typing import Any

from hydra.errors import InstantiationException

from bus_lightning.core.errors import UserError, reason

_TARGET = re.compile(r"(?:target|partial\()\s*'?([\w.]+)'?")
_KEY = re.compile(r"^full_key: (\S+)\s*\Z", re.MULTILINE)
_LONGEST = 500  # characters of a reason: PyTorch's can list a whole network


def target_error(error: Exception, at: str = "", target: str = "") -> UserError:
    """Describe in one line which node of the config cannot be built, and why.

    Args:
        error: The error that `instantiate`, or a partial that it made, has raised.
        at: Key of the node in the config, or the part of it that Hydra does not know.
        target: The node's target, used if Hydra does not name it.

    Returns:
        The error to raise; it is the cause itself if that is a UserError.
    """
    cause: BaseException = error
    while isinstance(cause, InstantiationException) and cause.__cause__:
        cause = cause.__cause__
    if isinstance(cause, UserError):
        return cause  # it explains itself
    if isinstance(error, InstantiationException):
        message = str(error)
        below, named = _KEY.search(message), _TARGET.search(message)
        at = ".".join(part for part in (at, below[1] if below else "") if part)
        target = named[1] if named else target
    where = f"{at} ({target})" if at and target else at or target
    return UserError(f"{where}: {_why(cause)}")


def explained(partial: Callable[..., Any], at: str, target: str) -> Callable[..., Any]:
    """Wrap a partial: a later call that fails raises a UserError that names its node."""

    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return partial(*arguments, **options)
        except Exception as error:
            explanation = target_error(error, at, target)
            raise explanation from (None if explanation is error else error)

    return call


def _why(cause: BaseException) -> str:
    if isinstance(cause, InstantiationException):  # Hydra's own message, without a cause
        return " ".join(str(cause).partition("\nfull_key")[0].split())
    line = _in_one_line(reason(cause))
    text = str(cause).strip()
    frames = traceback.extract_tb(cause.__traceback__)
    if frames and frames[-1].line and (not text or isinstance(cause, KeyError)):  # the message does not explain itself
        line += f", at `{frames[-1].line}`"
    deepest = cause
    while deepest.__cause__:
        deepest = deepest.__cause__
    if deepest is not cause and str(deepest) not in text:
        line += f" (from {_in_one_line(reason(deepest))})"
    return line


def _in_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
