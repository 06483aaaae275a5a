"""Check the options that all jobs of a grid share, and print the configs of a grid."""

import shutil
import sys
from collections.abc import Callable
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.schema import TRAIN, check_kinds
from bus_lightning.core.errors import UserError
from bus_lightning.launch.plugins import has_plugin

# Keys that a grid may vary without changing the checks that all jobs share.
_FREE = ("seed", "augment", "optimizer.lr", "optimizer.weight_decay", "data.split.seed", "data.split.fold")

_SINGLE = ("model", "data", "task", "optimizer", "scheduler", "augment", "preprocess", "overlay")


def check_grid(config: DictConfig) -> None:
    """Refuse a grid before its first job if no job could run.

    Args:
        config: The config of the whole grid, which Hydra composes without the values that differ between jobs.

    Raises:
        UserError: One line for all jobs.
    """
    check_choices(config)
    sweeper, launcher = config.hydra.sweeper, config.hydra.launcher
    needs_slurm = launcher._target_.endswith("SlurmLauncher") and has_plugin("hydra_submitit_launcher")
    if needs_slurm and not shutil.which("srun"):  # without the plugin, Hydra says so first
        raise UserError(
            "hydra/launcher=slurm: srun is not on this machine. Start the grid on the login node of a Slurm cluster, "
            "or use hydra/launcher=joblib here."
        )
    searches = not sweeper._target_.endswith("BasicSweeper")
    if sweeper.get("storage"):
        raise UserError(
            f"hydra.sweeper.storage={sweeper.storage}: a search needs no database, and would start again with one. "
            "Remove the option: the same command continues an interrupted search."
        )
    swept = _swept(config)
    shared = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    check_kinds(shared, TRAIN, left_out=swept)
    if all(key.startswith(_FREE) for key in swept):
        from bus_lightning.config.rules import check  # takes a while to import

        check(shared, searches, in_grid=True)


def check_choices(config: DictConfig) -> None:
    """Refuse several options of a group that gives a run one object: Hydra would merge them, and the last would win.

    Args:
        config: The config of a run or of a whole grid, with Hydra's own part.

    Raises:
        UserError: The override, and how to compare the options.
    """
    for override in OverridesParser.create().parse_overrides(list(config.hydra.overrides.task)):
        value = override.value()
        values = value.list if isinstance(value, ChoiceSweep) else [value]
        if override.key_or_group in _SINGLE and any(isinstance(member, list) for member in values):
            raise UserError(
                f"{override.input_line}: a run has one {override.key_or_group}; to compare several, give -m and the "
                f"names with commas, without brackets: -m {override.key_or_group}=A,B"
            )


def _swept(config: DictConfig) -> list[str]:
    """List the keys and groups that differ from job to job."""
    overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    params: Any = config.hydra.sweeper.get("params") or {}
    return [str(override.key_or_group) for override in overrides if override.is_sweep_override()] + [*map(str, params)]


def show_grid(main: Callable[[], Any]) -> None:
    """Print the config of each job for `-m ... --cfg job`, which Hydra does only for single runs.

    Args:
        main: A function decorated with `hydra.main`, which reads `sys.argv`.
    """
    script, *arguments = sys.argv
    given: list[str] = get_args_parser().parse_args(arguments).overrides
    flags = [argument for argument in arguments if argument not in (*given, "-m", "--multirun")]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(given), None) or [[[]]]
    try:
        for number, job in enumerate(jobs):
            print(f"{'---' if number else ''}\n# {' '.join(job)}".lstrip())
            sys.argv = [script, *job, *flags]
            main()
    finally:
        sys.argv = [script, *arguments]


def is_shown(arguments: list[str]) -> bool:
    """Return whether a command line requests the configs of a grid."""
    shows = any(argument in ("-c", "--cfg") or argument.startswith("--cfg=") for argument in arguments)
    return shows and any(argument in ("-m", "--multirun") for argument in arguments)
