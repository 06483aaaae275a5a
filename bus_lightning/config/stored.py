"""Write the config of a run to its folder, and read it back, whichever version wrote it."""

import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bus_lightning.config.identity import KEYS, MOVED
from bus_lightning.core.errors import DamagedError
from bus_lightning.core.files import write_aside

_OLD = re.compile("|".join(rf"^{re.escape(module)}(?=\.)" for module in MOVED))


def save_config(cfg: DictConfig, path: Path) -> None:
    """Write the resolved config as YAML."""
    write_aside(path, OmegaConf.to_yaml(cfg, resolve=True))


def load_config(path: Path) -> DictConfig:
    """Read a run's resolved config; keys that an older run lacks get the value that stands for the old behaviour.

    Raises:
        DamagedError: If the file is missing, cut off, or not the config of a run.
    """
    try:
        cfg = OmegaConf.load(path)
        assert isinstance(cfg, DictConfig)
        _use_current_targets(cfg)
        for key, meaning in KEYS.items():
            group, _, name = key.rpartition(".")
            node = OmegaConf.select(cfg, group) if meaning.since is not ... else None
            if isinstance(node, DictConfig) and name not in node:
                node[name] = meaning.since
        values = {key: OmegaConf.select(cfg, key) for key, meaning in KEYS.items() if meaning.kind}
    except OSError as error:
        raise DamagedError(path, f"it is not the config of a run ({error.strerror or error})") from error
    except (AssertionError, OmegaConfBaseException, ValueError, YAMLError) as error:
        raise DamagedError(path, f"it is not the config of a run ({error or 'not a mapping'})") from error
    for key, value in values.items():
        kind = KEYS[key].kind
        if kind and not isinstance(value, kind):
            raise DamagedError(path, f"it is not the config of a run: {key} is {value!r}")
    return cfg


def _use_current_targets(node: Any) -> None:
    """Replace the modules of earlier versions in each `_target_` of a config, in place."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        for key in node:
            value = node._get_node(key)
            if key == "_target_" and isinstance(node[key], str):
                node[key] = _OLD.sub(lambda match: MOVED[match[0]], node[key], count=1)
            else:
                _use_current_targets(value)
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for index in range(len(node)):
            _use_current_targets(node._get_node(index))
