"""The options of an evaluation: the data sets that it names replace those of a run, whose other options stay."""

import re
from collections.abc import Iterable

from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.data_sets import is_set, refuse_unread
from bus_lightning.config.kinds import shown
from bus_lightning.config.schema import TESTED_DATA
from bus_lightning.core.errors import UserError

OF_OWN_DATA = ("skip_unreadable", "resize_masks")  # these hold for the run's own images, too


def refuse_training_options(overrides: Iterable[str]) -> None:
    """Refuse options of `data` that a training has and an evaluation takes from the run.

    The file of a data set brings them into the config of `evaluate.py`, where they have no effect.

    Args:
        overrides: As on the command line.

    Raises:
        UserError: If there is one.
    """
    for override in overrides:
        key = re.split("[=@]", override.lstrip("+~"), maxsplit=1)[0]
        group, _, name = key.partition(".")
        if group == "data" and name and name.partition(".")[0] not in TESTED_DATA:
            raise UserError(
                f"{override}: an evaluation takes {key} from each run: leave it out. Options that choose the tested "
                f"images: {', '.join(f'data.{known}' for known in TESTED_DATA)}."
            )


def refuse_idle_options(overrides: Iterable[str], cfg: DictConfig) -> None:
    """Refuse options of a measurement that is not asked for, such as `explain_options.images=5` without `explain=true`.

    Args:
        overrides: As on the command line.
        cfg: The config of `evaluate.py`.

    Raises:
        UserError: If there is one.
    """
    for override in overrides:
        group = re.split(r"[=@.]", override.lstrip("+~"), maxsplit=1)[0]
        switch = group.removesuffix("_options")
        if switch != group and not cfg.get(switch):
            raise UserError(f"{override} has no effect without {switch}=true: add it.")


def names_data(data: DictConfig) -> bool:
    """Tell whether the config group `data` of an evaluation names other data than those of the run."""
    return bool(data.get("sets") or data.get("root"))


def with_tested_data(config: DictConfig, data: DictConfig) -> DictConfig:
    """Put the data sets of an evaluation in the place of those of a run.

    A folder without `data=NAME` is read as a folder per class. The classes of the run stay; those of the other images
    are chosen when they have been read.

    Args:
        config: The run's config.
        data: The config group `data` of the evaluation.

    Returns:
        A copy of the run's config.

    Raises:
        UserError: If an option is about other data, and none are named, or if they do not read it.
    """
    settled = config.copy()
    # The split names the images; what was left out of the training does not matter any more.
    settled.data.exclude, settled.data.drop_conflicts = None, False
    for name in OF_OWN_DATA:
        settled.data[name] = bool(settled.data.get(name) or data.get(name))
    values = {name: data.get(name) for name in TESTED_DATA if name not in OF_OWN_DATA}
    if names_data(data):
        values.pop("classes")
        settled.data.update(values | {"mistake": None, "test": None})
        refuse_unread(settled.data)
        return settled
    for name, value in values.items():
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if is_set(plain):
            raise UserError(
                f"data.{name}={shown(plain)} is about other data than those of the run: name them, data=NAME or "
                "data.root=FOLDER."
            )
    return settled
