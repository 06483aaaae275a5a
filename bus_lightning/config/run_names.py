"""Name a run's folder after its model and its overrides."""

import re
from collections.abc import Iterable

from bus_lightning.config.identity import is_named
from bus_lightning.core.folders_in_texts import without_folders
from bus_lightning.core.randomness import stable_hash

SET_ASIDE = ".old-"  # in the name of a run's folder that was moved aside for a new start; in no other name
CUT = r"-[0-9a-f]{16}"  # ends a name that was too long, see `_shortened`
_NAME_LIMIT = 120
_UNSAFE = r"[^A-Za-z0-9._-]+"


def run_name(model: str, overrides: Iterable[str]) -> str:
    """Name a run after its model and every other override, sorted by key: `resnet50__seed-1`.

    Of an absolute path, only the last name is shown. If a character is replaced, or a part could be read in two ways, a
    short hash of the part is appended, so that two different values never give the same name.

    Args:
        model: The model's name.
        overrides: `key=value` as on the command line.

    Returns:
        A folder name in `[A-Za-z0-9._-]`; above 120 characters its end becomes a hash.
    """
    parts = sorted(_safe(key, value) for key, value in naming_overrides(overrides).items())
    return _shortened("__".join([re.sub(_UNSAFE, "-", model), *parts]))


def older_name(model: str, overrides: Iterable[str]) -> str:
    """Name a run as version 0.1 did; different values could get the same name."""
    pairs = naming_overrides(overrides).items()
    parts = (f"{key.lstrip('~')}-{'null' if value == 'None' else value}" for key, value in pairs)
    return _shortened("__".join(re.sub(_UNSAFE, "-", part) for part in [model, *sorted(parts)]))


def naming_overrides(overrides: Iterable[str]) -> dict[str, str]:
    """Read the overrides that are part of a run's name: key -> value; a deleted key begins with `~`."""
    values = {"True": "true", "False": "false"}  # Hydra hands a grid's booleans over as Python writes them
    pairs = (override.lstrip("+").partition("=")[::2] for override in overrides)
    return {key: values.get(value, value) for key, value in pairs if is_named(key.lstrip("~"))}


def _safe(key: str, value: str) -> str:
    """Turn a key and its value into a unique part of a name, in safe characters; a plain part stays as it is."""
    shown = without_folders(value.strip("'\""))  # a folder may name a person, and W&B shows a run's name
    part = f"{key}-{shown}"
    safe = re.sub(_UNSAFE, "-", part)
    is_plain = safe == f"{key}-{value}" and "-" not in key and "__" not in part and part == part.strip("_")
    return safe if is_plain else f"{safe}-{stable_hash(key, value) % 16**8:08x}"


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LIMIT else f"{name[: _NAME_LIMIT - 17]}-{stable_hash(name):016x}"
