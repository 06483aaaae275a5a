"""Kinds of values that a key of a config may have."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bus_lightning.config.run_names import SET_ASIDE
from bus_lightning.config.split_options import PARTS

_FOLDER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # no dot first: excludes hidden folders and `..`


@dataclass(frozen=True)
class Kind:
    """A kind of value that a key may have.

    Attributes:
        description: The kind in words; completes "give ...".
        fits: Whether a value (number, text, list or dict) is of this kind.
        absent: Value for a key that was removed with `~key`; `...` refuses the removal.
    """

    description: str
    fits: Callable[[Any], bool]
    absent: Any = ...


def shown(value: Any) -> str:
    """Write a value as the command line takes it."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{shown(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def whole(low: int | None = None, high: int | None = None) -> Kind:
    """Accept whole numbers from `low` to `high`, both included."""
    return Kind(
        f"a whole number{_range(low, high)}",
        lambda value: type(value) is int and (low is None or value >= low) and (high is None or value <= high),
    )


def number(low: float | None = None, high: float | None = None) -> Kind:
    """Accept finite numbers from `low` to `high`, both included."""
    return Kind(f"a number{_range(low, high)}", lambda value: (
        type(value) in (int, float) and _is_finite(value)
        and (low is None or value >= low) and (high is None or value <= high)
    ))  # fmt: skip


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def one_of(*values: Any) -> Kind:
    """Accept only these values; `True` is not 1."""
    description = f"one of {', '.join(map(shown, values))}"
    return Kind(description, lambda value: any(type(value) is type(each) and value == each for each in values))


def list_of(kind: Kind, description: str, lengths: Sequence[int] = ()) -> Kind:
    """Accept lists whose members are of a kind; without `lengths`, any length except 0."""
    return Kind(description, lambda value: (
        isinstance(value, list) and (len(value) in lengths if lengths else bool(value)) and all(map(kind.fits, value))
    ))  # fmt: skip


def either(*kinds: Kind) -> Kind:
    """Accept values of any of several kinds."""
    description = ", or ".join(kind.description for kind in kinds)
    return Kind(description, lambda value: any(kind.fits(value) for kind in kinds))


def nullable(kind: Kind) -> Kind:
    """Accept null, too, and a removed key, which becomes null."""
    return Kind(f"{kind.description}, or null", lambda value: value is None or kind.fits(value), absent=None)


def optional(kind: Kind) -> Kind:
    """Accept a missing key, because not every option of its group has it."""
    return replace(kind, absent=MISSING)


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f" of at least {low}" if high is None else f" from {low} to {high}"


MISSING = object()
FLAG = Kind("true or false", lambda value: type(value) is bool)
TEXT = Kind("a single text (a number in quotes)", lambda value: isinstance(value, str) and bool(value.strip()))
PLACE = replace(TEXT, description="a path (a number in quotes)")  # `~` at its start is the user's home
PLACE_OR_NULL = nullable(PLACE)
NAME = Kind("a name: letters, digits, '.', '_' and '-', not starting with a dot", lambda value: (
    type(value) in (str, int, float) and bool(_FOLDER.fullmatch(str(value))) and SET_ASIDE not in str(value)
))  # fmt: skip
TEXT_NAME = Kind(f"{NAME.description} (a number in quotes)", lambda value: isinstance(value, str) and NAME.fits(value))
NAMES = Kind("a list of different names, such as '[benign,malignant]'", lambda value: (
    isinstance(value, list) and all(map(TEXT.fits, value)) and 0 < len(value) == len(set(value))
))  # fmt: skip
PACKAGES = Kind("a list of packages, such as '[my_nets]'", lambda value: (
    isinstance(value, list) and all(map(TEXT.fits, value))
), absent=[])  # fmt: skip
LABEL = Kind("text of at most 128 characters", lambda value: (
    type(value) in (str, int, float) and 0 < len(str(value)) <= 128
))  # fmt: skip
TAGS = Kind("a list of tags, 1 to 64 characters each, such as '[small,fast]'", lambda value: (
    isinstance(value, list) and all(type(tag) in (str, int, float) and 0 < len(str(tag)) <= 64 for tag in value)
))  # fmt: skip
NODE = Kind("a _target_ with its options", lambda value: isinstance(value, dict) and TEXT.fits(value.get("_target_")))
NODE_OR_NULL = Kind(f"{NODE.description}, or null", lambda value: value in (None, {}) or NODE.fits(value))
GROUP = Kind("a group of options", lambda value: isinstance(value, dict))
NODES = Kind("a group of named entries", GROUP.fits, absent={})  # may be empty
COLOR = list_of(whole(0, 255), "a colour: three whole numbers from 0 to 255", [3])
IN_PARTS = Kind("a list of parts: train, val, test", lambda value: (
    isinstance(value, list) and all(part in PARTS for part in value)
))  # fmt: skip
_SHARE = Kind("a share above 0.0, up to 1.0", lambda value: type(value) is float and 0 < value <= 1)
LIMIT = nullable(either(whole(1), _SHARE))
LIMIT_OR_NONE = nullable(either(whole(0), _SHARE))
SEED = nullable(whole(0, 2**32 - 1))
