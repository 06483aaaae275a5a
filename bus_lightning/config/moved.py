"""Modules that earlier versions had elsewhere, so that their configs still find what they name."""

import re
from typing import Any

from omegaconf import DictConfig, ListConfig

# Old module -> the module that holds its objects now. An entry stays for as long as old run folders are read.
MOVED = {
    "bus_lightning.losses": "bus_lightning.tasks.losses",
    "bus_lightning.callbacks": "bus_lightning.training.callbacks",
    "bus_lightning.dashboard": "bus_lightning.tracking",
}
_OLD = re.compile("|".join(rf"^{re.escape(module)}(?=\.)" for module in MOVED))


def use_current_targets(node: Any) -> None:
    """Replace the old modules in each `_target_` of a config, in place, by those of this version."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        for key in node:
            value = node._get_node(key)
            if key == "_target_" and isinstance(node[key], str):
                node[key] = _OLD.sub(lambda match: MOVED[match[0]], node[key], count=1)
            else:
                use_current_targets(value)
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for index in range(len(node)):
            use_current_targets(node._get_node(index))
