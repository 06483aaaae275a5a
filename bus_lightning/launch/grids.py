"""Check the options that all jobs of a grid share, and print the configs of a grid."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config import CONF
from bus_lightning.config.data_sets import refuse_unread, with_tested_sets
from bus_lightning.config.schema import TRAIN, check_kinds
from bus_lightning.core.commands import name_program
from bus_lightning.core.errors import UserError
from bus_lightning.launch.plugins import has_plugin

_FOLD = "data.split.fold"
# Keys that a grid may vary without changing the checks that all jobs share.
_FREE = ("seed", "augment", "optimizer.lr", "optimizer.weight_decay", "data.split.seed", _FOLD)

_SINGLE = ("model", "task", "optimizer", "scheduler", "augment", "preprocess", "overlay")


def check_grid(config: DictConfig) -> None:
    """Refuse a grid before its first job if no job could run.

    Args:
        config: The config of the whole grid, which Hydra composes without the values that differ between jobs.

    Raises:
        UserError: One line for all jobs.
    """
    overrides, sweeper, launcher = list(config.hydra.overrides.task), config.hydra.sweeper, config.hydra.launcher
    check_choices(overrides)
    if not overrides and not sweeper.get("params"):
        raise UserError(
            f"-m starts a grid, but no option has several values: {name_program()} -m model=resnet50,alexnet. "
            "For one run with the defaults, leave -m out."
        )
    needs_slurm = launcher._target_.endswith("SlurmLauncher") and has_plugin("hydra_submitit_launcher")
    if needs_slurm and not shutil.which("srun"):  # without the plugin, Hydra says so first
        raise UserError(
            "hydra/launcher=slurm: srun is not on this machine. Start the grid on the login node of a Slurm cluster, "
            "or use hydra/launcher=joblib here."
        )
    searches = not sweeper._target_.endswith("BasicSweeper")
    if sweeper.get("storage"):
        raise UserError(
            f"hydra.sweeper.storage={sweeper.storage}: a search needs no database, and with one it would start again. "
            "Remove the option: the same command continues an interrupted search."
        )
    sweeps = _sweeps(config)
    swept = list(sweeps)
    shared = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    shared = check_kinds(shared, TRAIN, left_out=swept)  # with the user's home in place of `~`
    if "data.split.folds" not in swept:
        is_named = any(override.lstrip("+").startswith(f"{_FOLD}=") for override in overrides)
        _check_folds(shared.data.split.folds, sweeps.get(_FOLD), is_named)
    varies_sets = any(key == "data" or key.startswith(("data.test", "data.sets")) for key in swept)
    if not varies_sets:
        first = shared.copy()
        for key, value in sweeps.items():
            if key.startswith("data.") and isinstance(value, ChoiceSweep):
                member = value.list[0]
                OmegaConf.update(first, key, member.text if isinstance(member, QuotedString) else member)
        refuse_unread(with_tested_sets(first, config.hydra).data)
    if all(key.startswith(_FREE) for key in swept):
        from bus_lightning.config.rules import check  # takes a while to import

        check(shared, searches, in_grid=True)
    if "protocol" not in swept and shared.get("protocol"):
        from bus_lightning.runs.protocol import read_protocol  # takes a while to import

        read_protocol(Path(shared.protocol))


def check_choices(overrides: list[str]) -> None:
    """Refuse several options of a group that gives a run one object: Hydra would merge them, and the last would win.

    Args:
        overrides: As on the command line, of a run or of a whole grid.

    Raises:
        UserError: The override, and how to compare the options.
    """
    for override in OverridesParser.create().parse_overrides(overrides):
        value = override.value()
        values = value.list if isinstance(value, ChoiceSweep) else [value]
        if override.key_or_group in _SINGLE and any(isinstance(member, list) for member in values):
            names = [name for member in values for name in (member if isinstance(member, list) else [member])]
            raise UserError(
                f"{override.input_line}: a run has one {override.key_or_group}; to compare several, give -m and the "
                f"names with commas, without brackets: -m {override.key_or_group}={','.join(map(str, names))}"
            )


def gather_overrides(arguments: list[str]) -> list[str]:
    """Put the overrides of a command line together, which Hydra reads only from one side of `-m`.

    Args:
        arguments: Without the script.
    """
    if not get_args_parser().parse_known_args(arguments)[1]:
        return arguments
    overrides: list[str] = get_args_parser().parse_intermixed_args(arguments).overrides
    return [*overrides, *(argument for argument in arguments if argument not in overrides)]


def overrides_of(arguments: list[str]) -> list[str]:
    """Return the overrides of a command line, without Hydra's own flags."""
    overrides: list[str] = get_args_parser().parse_args(arguments).overrides
    return overrides


def _sweeps(config: DictConfig) -> dict[str, Any]:
    """Return the keys and groups that differ from job to job, with their values as Hydra has parsed them."""
    parser = OverridesParser.create()
    params: Any = config.hydra.sweeper.get("params") or {}
    given = parser.parse_overrides(list(config.hydra.overrides.task))
    named = {each.key_or_group for each in given}  # a value on the command line replaces those of a file
    varied = parser.parse_overrides([f"{key}={value}" for key, value in params.items()])
    varied = [each for each in varied if each.key_or_group not in named]
    chosen = [each for each in given if each.is_sweep_override()]
    return {str(override.key_or_group): override.value() for override in [*chosen, *varied]}


def _check_folds(folds: int | None, values: Any, is_named: bool) -> None:
    """Refuse folds that there are not, and a sweep of folds that leaves some out.

    Args:
        folds: `data.split.folds`.
        values: What the grid varies `data.split.fold` over; None if it does not.
        is_named: Whether the command line names the folds; it may name some of them.
    """
    if folds is None or not isinstance(values, ChoiceSweep):
        return
    every = list(range(folds))
    leaves_out = not is_named and any(number not in values.list for number in every)
    if leaves_out or any(value not in every for value in values.list):
        raise UserError(
            f"{_FOLD}={','.join(map(str, values.list))}: data.split.folds={folds} has the folds 0 to {folds - 1}: add "
            f"{_FOLD}={','.join(map(str, every))}."
        )


def show_grid(main: Callable[[], Any], config: str) -> None:
    """Print the config of each job for `-m ... --cfg job`, which Hydra does only for single runs.

    Args:
        main: A function decorated with `hydra.main`, which reads `sys.argv`.
        config: Name of its config.
    """
    script, *arguments = sys.argv
    overrides = overrides_of(arguments)
    one_run = [argument for argument in arguments if argument != "-m" and not stands_for(argument, "--multirun")]
    flags = [argument for argument in one_run if argument not in overrides]
    swept = [*_params(arguments, config), *overrides]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(swept), None) or [[[]]]
    try:
        for number, job in enumerate(jobs):
            print(f"{'---' if number else ''}\n# {' '.join(job)}".lstrip())
            sys.argv = [script, *job, *flags]
            main()
    finally:
        sys.argv = [script, *arguments]


def _params(arguments: list[str], config: str) -> list[str]:
    """Return what a file in conf/sweep/ varies, as overrides; empty for a search, which chooses as it goes."""
    parsed = OverridesParser.create().parse_overrides(overrides_of(arguments))
    shared = [override.input_line for override in parsed if override.input_line and not override.is_sweep_override()]
    if folder := user_configs_of(arguments):
        path = f"file://{folder.absolute()}"
        shared.append(f"hydra.searchpath=[{QuotedString(path, Quote.double).with_quotes()}]")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sweeper = compose(config, overrides=shared, return_hydra_config=True).hydra.sweeper
    params = (sweeper.get("params") or {}) if sweeper._target_.endswith("BasicSweeper") else {}
    return [f"{key}={value}" for key, value in params.items()]


def user_configs_of(arguments: list[str]) -> Path | None:
    """Return the folder of `--config-dir`, if a command line has one.

    Args:
        arguments: Without the script.

    Raises:
        UserError: If it is empty, such as by a variable of a script that is not set: Hydra would take the current
            folder. If it is given twice: Hydra would take the last one.
    """
    options = [argument.partition("=")[0] for argument in arguments]
    if sum(option == "-cd" or stands_for(option, "--config-dir") for option in options) > 1:
        raise UserError("--config-dir is given twice: put the files into one folder.")
    folder = get_args_parser().parse_known_args(arguments)[0].config_dir
    if folder == "":
        raise UserError("--config-dir is empty: name your folder of configs, or leave the option out.")
    return Path(folder) if folder else None


def stands_for(argument: str, option: str) -> bool:
    """Tell whether an argument is a long option or its beginning, which argparse takes for the option."""
    return len(argument) > 2 and option.startswith(argument)


def shows_config(arguments: list[str]) -> bool:
    """Tell whether a command line, without the script, asks for configs instead of a training."""
    return get_args_parser().parse_known_args(arguments)[0].cfg is not None


def is_grid(arguments: list[str]) -> bool:
    """Tell whether a command line, without the script, asks for a grid."""
    return bool(get_args_parser().parse_known_args(arguments)[0].multirun)
