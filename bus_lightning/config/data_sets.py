"""The data sets that a config names, with the options of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from bus_lightning.config.kinds import GROUP, NAME, nullable, shown
from bus_lightning.config.schema import check_option, check_value
from bus_lightning.config.user_configs import find_config_folders
from bus_lightning.core.errors import UserError

_PER_SET = ("root", "classes")  # of several sets, each has its own
# These are set in the data set, or in `data` for all sets.
_SHARED = ("table", "sheet", "columns", "map", "drop", "images", "masks", "annotations")
# Option -> the sources that read it; every source takes the others.
_READERS = {
    "table": ("table",), "sheet": ("table",), "columns": ("table",), "map.mask_counts": ("table",),
    "images": ("images_masks", "table", "coco"), "masks": ("images_masks", "table"), "annotations": ("coco",),
}  # fmt: skip
_OLDER: dict[str, Any] = {"folder": {"source": "folder"}}  # of a run of version 0.1: a folder per class


def options_by_set(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Collect the options of each data set of a config.

    Args:
        data: The config group `data`.

    Returns:
        Name of the set -> `source`, `root`, `classes`, `cache`, and the options of the source; those that are not set
        are None.

    Raises:
        UserError: If the name of a set is not that of a folder, a set has an unknown or wrong option, no source or no
            folder, or one root is given for several sets.
    """
    group: Any = OmegaConf.to_container(data, resolve=True) if OmegaConf.is_config(data) else data
    sets = group.get("sets") or _OLDER
    if len(sets) > 1 and group.get("root"):
        names = " ".join(f"data.sets.{name}.root=FOLDER" for name in sets)
        raise UserError(f"data.root={group['root']} is one folder for {len(sets)} data sets: give {names}.")
    collected = {}
    for name, settings in sets.items():
        if not NAME.fits(name):  # ids and folders begin with it
            raise UserError(f"data.sets names a data set '{name}': give it {NAME.description}.")
        check_value(f"data.sets.{name}", settings, nullable(GROUP))
        own = dict(settings or {})
        if unknown := sorted(map(str, own.keys() - {"source", *_PER_SET, *_SHARED})):
            known = ", ".join(("source", *_PER_SET, *_SHARED))
            raise UserError(f"data.sets.{name}.{unknown[0]} is unknown: choose from {known}.")
        for key in own.keys() - {"source"}:
            check_option(f"data.sets.{name}.{key}", own[key], f"data.{key}")
        if not isinstance(own.get("source"), str):
            raise UserError(f"data.sets.{name} needs a source, the layout of its folder: +data.sets.{name}.source=...")
        shared = {key: (own if _is_own(own.get(key)) else group).get(key) for key in ("root", *_SHARED)}
        if name == "folder" and sets is not _OLDER and not shared["root"]:
            raise UserError(f"data=folder needs {root_option(name, group)}=FOLDER, with a folder per class.")
        collected[str(name)] = own | shared | {"classes": own.get("classes"), "cache": group.get("cache")}
    return collected


def root_option(name: str, data: Mapping[str, Any]) -> str:
    """Return the option that gives the folder of a set: `data.root` if a single set has no folder itself."""
    sets = data.get("sets") or {}
    is_own = len(sets) > 1 or bool((sets.get(name) or {}).get("root"))
    return f"data.sets.{name}.root" if is_own else "data.root"


def refuse_unread(data: Mapping[str, Any]) -> None:
    """Refuse an option that has no effect: no data set reads it, or each that does has a value of its own.

    Runs of earlier versions may have one: it is refused where a user gives it, not where a run is read.

    Args:
        data: The config group `data`, with the sets that `data.test` names.

    Raises:
        UserError: If there is one, such as `data.table` without `data=table`: the run would take other images than the
            user expects.
    """
    group: Any = OmegaConf.to_container(data, resolve=True) if OmegaConf.is_config(data) else data
    sets = {str(name): own for name, own in (group.get("sets") or _OLDER).items() if isinstance(own, dict)}
    names = list(sets) if len(sets) > 1 else next(iter(sets), None)
    _refuse_unread("data", group, [own.get("source") for own in sets.values()], f"data={shown(names)}", "data")
    for name, own in sets.items():
        source = own.get("source")
        _refuse_unread(f"data.sets.{name}", own, [source], f"source={source}", "source")
    _refuse_hidden(group, sets)


def _refuse_hidden(group: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> None:
    for option in ("root", *_SHARED):
        readers = [name for name, own in sets.items() if own.get("source") in _READERS.get(option, [own.get("source")])]
        if is_set(group.get(option)) and readers and all(_is_own(sets[name].get(option)) for name in readers):
            value = group[option]
            if isinstance(value, dict):  # without what is null
                value = {key: inner for key, inner in value.items() if is_set(inner)}
            own = " and ".join(f"data.sets.{name}.{option}" for name in readers)
            verb, cure = ("are", "those") if readers[1:] else ("is", "that")
            raise UserError(
                f"data.{option}={shown(value)} has no effect, because {own} {verb} set: leave it out, or change {cure}."
            )


def _refuse_unread(place: str, options: Mapping[str, Any], sources: Sequence[Any], used: str, key: str) -> None:
    for name, readers in _READERS.items():
        value: Any = options
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if is_set(value) and not set(readers) & set(sources):
            option = f"{place}.{name}" if isinstance(value, dict) else f"{place}.{name}={shown(value)}"
            needed = " or ".join(f"{key}={reader}" for reader in readers)
            raise UserError(f"{option} is not read with {used}: it needs {needed}; add that, or leave it out.")


def _is_own(value: Any) -> bool:
    """Tell whether a data set has an option itself; 0 is the first sheet."""
    return bool(value or value == 0)


def is_set(value: Any) -> bool:
    """Tell whether an option, or one of its group, has a value."""
    return any(map(is_set, value.values())) if isinstance(value, dict) else value is not None


def list_tested_sets(data: Mapping[str, Any]) -> list[str]:
    """Return the names of the data sets that `data.test` names: one name, or a list."""
    test = data.get("test")
    return [] if test is None else [str(test)] if isinstance(test, str | int | float) else list(test)


def with_tested_sets(cfg: DictConfig, hydra: DictConfig | None = None) -> DictConfig:
    """Add the sets that `data.test` names to the config's data sets, from their files in `data/`; in a copy.

    `data.test` becomes a list, so that a name and a list of one name are the same experiment.

    Args:
        cfg: The config.
        hydra: As in `find_config_folders`.

    Raises:
        UserError: If there is no such set, its file has another one, or no set is left to train on.
    """
    tested = list_tested_sets(cfg.data)
    settled = cfg.copy()
    settled.data.test = tested or None
    for name in tested:
        if name in settled.data.sets:
            continue
        folders = find_config_folders(hydra)
        files = {path.stem: path for folder in folders for path in sorted(folder.glob("data/*.yaml"))}
        known = [stem for stem in files if stem != "default"]
        if name not in known:
            listed = ", ".join(dict.fromkeys([*map(str, settled.data.sets), *known]))
            raise UserError(f"data.test names '{name}', which is no data set: choose from {listed}.")
        own: Any = OmegaConf.to_container(OmegaConf.load(files[name]))
        if name not in (own.get("sets") or {}):  # another set of the file would be trained on
            raise UserError(f"data.test={name}: {files[name]} has no set of this name: call the set in it {name}.")
        with open_dict(settled.data.sets):
            settled.data.sets[name] = own["sets"][name]
    if tested and not set(settled.data.sets) - set(tested):
        names = ", ".join(tested)
        raise UserError(
            f"data.test={names} leaves no data set to train on: name another in data, such as data='[{tested[0]},...]'."
        )
    return settled
