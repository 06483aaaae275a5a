"""Hydra's plugins, which launch and search: our configs of their names, and one line where one is missing."""

import os
import re
from importlib.util import find_spec

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from bus_lightning.core.workarounds import share_config_store

_OURS = (("launcher", "joblib"), ("launcher", "ray"), ("sweeper", "optuna"))
_EXTRAS = {
    "hydra_joblib_launcher": "parallel",
    "hydra_submitit_launcher": "slurm",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "sweep",
}


def prefer_our_configs() -> None:
    """Let conf/hydra/ stand for itself where a plugin has a config of the same name.

    Hydra would check ours against the plugin's with a warning, and refuse it where that one has defaults of its own.
    """
    share_config_store()
    Plugins.instance()  # imports the plugins, which register their configs
    for group, name in _OURS:
        ConfigStore.instance().repo["hydra"].get(group, {}).pop(f"{name}.yaml", None)
    OmegaConf.register_new_resolver("environment", _environment, replace=True)


def missing_plugin(error: Exception) -> str | None:
    """Say how to get the plugin that a config names; None when that is not what went wrong.

    Args:
        error: What Hydra raised.
    """
    found = re.search(r"Unknown plugin class : 'hydra_plugins\.(\w+)", str(error))
    if not found or found[1] not in _EXTRAS:
        return None
    return f"{found[1].replace('_', '-')} is not installed: pip install -e '.[{_EXTRAS[found[1]]}]'"


def has_plugin(package: str) -> bool:
    """Tell whether a plugin is installed, by its package: `hydra_submitit_launcher`."""
    try:
        return find_spec(f"hydra_plugins.{package}") is not None
    except ImportError:  # not a single plugin is installed
        return False


def _environment(*names: str) -> DictConfig:
    """Give those of the environment's variables that are set: `${environment:BUSI_ROOT,WANDB_MODE}`."""
    return OmegaConf.create({name: os.environ[name] for name in names if name in os.environ})
