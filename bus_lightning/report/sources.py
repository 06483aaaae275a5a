"""The files outside of a group that its report is drawn from: folders of images, and runs in other groups."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.core.errors import UserError
from bus_lightning.data.index import find_root
from bus_lightning.runs.ensembles import read_ensemble
from bus_lightning.runs.evaluation_folders import list_evaluations
from bus_lightning.statistics.conditions import Group

_FILES = ("root", "table", "annotations")  # options of a data set that name a folder or a file


def find_sources(group: Group) -> Iterator[Path]:
    """List the folders and files outside of the groups that the report of these runs may read, there or not."""
    configs = {str(condition.config.data): condition.config for condition in group.conditions}
    for config in configs.values():
        yield from _files_of(config)
    for condition in (each for each in group.conditions if each.is_ensemble):
        yield from condition.averaged
        for run in condition.runs:
            for folder in list_evaluations(run):
                with suppress(UserError):  # a damaged file is a check of the report
                    ensemble = read_ensemble(folder)
                    yield from (member.folder(folder).path for member in (ensemble.members if ensemble else ()))


def _files_of(config: DictConfig) -> Iterator[Path]:
    """List the folders and files that the data sets of a config name, and the places where they are looked for."""
    with suppress(UserError):  # such a config has no pictures
        for name, options in options_by_set(config.data).items():
            yield from (Path(options[key]).expanduser() for key in _FILES if options.get(key))
            with suppress(UserError):
                yield find_root(options["root"], name)
