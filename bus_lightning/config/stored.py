"""Write the config of a run to its folder, and read it back, whichever version wrote it."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bus_lightning.config.identity import KEYS, MOVED
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import write_aside
from bus_lightning.core.reading import read_yaml

_OLD = re.compile("|".join(rf"^{re.escape(module)}(?=\.)" for module in MOVED))


def save_config(cfg: DictConfig, path: Path) -> None:
    """Write the resolved config as YAML.

    Raises:
        UserError: If a value would be resolved again when it is read, because it has `${` in it, or is no value.
    """
    for key, value in _leaves(OmegaConf.to_container(cfg, resolve=True)):
        if _is_open(value):
            raise UserError(f"{key}={value}: a run's config keeps values only, so write one without `${{` or `???`.")
    write_aside(path, OmegaConf.to_yaml(cfg, resolve=True))


def load_config(path: Path) -> DictConfig:
    """Read a run's resolved config; keys that an older run lacks get the value that stands for the old behaviour.

    Others may have written the file, so nothing in it is resolved or run.

    Raises:
        DamagedError: If the file is missing, cut off, not the config of a run, or has anything else than values in it.
    """
    return create_config(read_values(path), path)


def read_values(path: Path) -> dict[str, Any]:
    """Read the values of a run's config as nested mappings and lists; errors are those of `load_config`."""
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise DamagedError(path, f"it is not the config of a run ({error.strerror})") from None
    for key, value in _leaves(content):
        if _is_open(value):
            raise DamagedError(
                path, f"{key} is {str(value)[:80]!r}, which is not a value", "Write the value itself there, or restore "
                "the file from a copy"
            )  # fmt: skip
    _use_current_targets(content)
    for key, meaning in KEYS.items():
        above, _, name = key.rpartition(".")
        group = (_select(content, above) if above else content) if meaning.since is not ... else None
        if isinstance(group, dict):
            group.setdefault(name, deepcopy(meaning.since))
        value = _select(content, key)
        if meaning.kind and (not isinstance(value, meaning.kind) or isinstance(value, bool)):
            raise DamagedError(path, f"it is not the config of a run: {key} is {str(value)[:80]!r}")
    if not all(isinstance(name, str) for name in content["data"]["classes"]):
        raise DamagedError(path, "it is not the config of a run: data.classes are not names")
    return content


def create_config(content: dict[str, Any], path: Path) -> DictConfig:
    """Make the config of a run from its values.

    Raises:
        DamagedError: If they are not those of a config; names the file that they were read from.
    """
    try:
        cfg: DictConfig = OmegaConf.create(content)
    except (OmegaConfBaseException, ValueError) as error:
        raise DamagedError(path, f"it is not the config of a run ({error})") from error
    return cfg


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of all that is in a config, and the names of its mappings as values, too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield key, name
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{place}]")
    else:
        yield key, value


def _is_open(value: Any) -> bool:
    """Say whether OmegaConf would resolve a value, or refuse to read it; or whether it can be no value of an option."""
    if isinstance(value, str):
        return "${" in value or value == "???" or "\0" in value  # the last one is in no name of a file
    return not (value is None or isinstance(value, bool | int | float))


def _select(content: dict[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None if there is none."""
    value: Any = content
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _use_current_targets(node: Any) -> None:
    """Replace the modules of earlier versions in each `_target_` of a config, in place."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_" and isinstance(value, str):
                node[key] = _OLD.sub(lambda match: MOVED[match[0]], value, count=1)
            else:
                _use_current_targets(value)
    elif isinstance(node, list):
        for value in node:
            _use_current_targets(value)
