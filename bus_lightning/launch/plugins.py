"""Hydra's plugins for launchers and sweepers: our configs for them, and an error if one is missing."""

import os
import re
import subprocess
from importlib.util import find_spec
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf

from bus_lightning.core.commands import name_command
from bus_lightning.core.workarounds import share_config_store

_OURS = (("hydra/launcher", "joblib"), ("hydra/launcher", "ray"), ("hydra/sweeper", "optuna"))
_EXTRAS = {
    "hydra_joblib_launcher": "parallel",
    "hydra_submitit_launcher": "slurm",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "sweep",
}


class _Configs(ConfigStore):
    """Hydra's store without the configs of plugins that conf/hydra/ replaces.

    Hydra would validate ours against the plugin's config with a warning, and refuse it if that has defaults. A launcher
    gives the store to the processes of its jobs, where the plugins register their configs again.
    """

    def store(self, name: str, node: Any, group: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Store a config, unless conf/hydra/ replaces it."""
        if (group, name) not in _OURS:
            super().store(name, node, group, *args, **kwargs)


def prefer_our_configs() -> None:
    """Remove the configs of plugins that conf/hydra/ replaces, and refuse them from now on."""
    share_config_store()
    Plugins.instance()  # imports the plugins, which register their configs
    ours = _Configs()
    ours.repo = ConfigStore.instance().repo
    for group, name in _OURS:
        ours.repo["hydra"].get(group.removeprefix("hydra/"), {}).pop(f"{name}.yaml", None)
    Singleton._instances[ConfigStore] = ours  # type: ignore[assignment]  # holds instances, typed as their class
    OmegaConf.register_new_resolver("environment", _environment, replace=True)
    OmegaConf.register_new_resolver("names", _names, replace=True)
    OmegaConf.register_new_resolver("command", name_command, replace=True)  # in the text of --help


def missing_plugin(error: Exception) -> str | None:
    """Describe how to install the missing plugin that a config names; None for any other error.

    Args:
        error: The error that Hydra has raised.
    """
    plugin = re.search(r"Unknown plugin class : 'hydra_plugins\.(\w+)", str(error))
    if not plugin or plugin[1] not in _EXTRAS:
        return None
    return f"{plugin[1].replace('_', '-')} is not installed: pip install 'bus_lightning[{_EXTRAS[plugin[1]]}]'"


def refusal_of_slurm(error: Exception) -> str | None:
    """Describe why sbatch did not take the jobs of a grid, such as an unknown partition; None for any other error.

    Args:
        error: The error that the launcher has raised.
    """
    cause = error.__cause__
    if not isinstance(cause, subprocess.CalledProcessError) or "sbatch" not in cause.cmd:
        return None
    said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return f"Slurm does not take the jobs ({said}): check hydra.launcher.partition, account and the other options."


def has_plugin(package: str) -> bool:
    """Return whether a plugin is installed, by its package: `hydra_submitit_launcher`."""
    try:
        return find_spec(f"hydra_plugins.{package}") is not None
    except ImportError:  # no plugin is installed
        return False


def _environment(*names: str) -> DictConfig:
    """Return the environment variables that are set, for `${environment:BUSI_ROOT,WANDB_MODE}`."""
    return OmegaConf.create({name: os.environ[name] for name in names if name in os.environ})


def _names(group: DictConfig) -> str:
    """Return the names in a group with commas between them, for a sweep over `${names:${data.sets}}`."""
    return ",".join(map(str, group))
