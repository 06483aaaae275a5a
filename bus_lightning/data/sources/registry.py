"""The sources by name, as `data.source` names them."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import PICTURES
from bus_lightning.data.index import find_root
from bus_lightning.data.sources.class_map import fold, map_classes
from bus_lightning.data.sources.pictures import IMAGE_FOLDERS, MASK_FOLDERS
from bus_lightning.data.sources.source_index import LayoutError, Source, SourceIndex
from bus_lightning.data.walking import walk

log = logging.getLogger(__name__)
SOURCES = (
    "busi", "folder", "images_masks", "table", "bus_bra", "breast", "bus_uclm", "udiat", "nnunet", "coco",
)  # fmt: skip

_MOST_TO_GUESS = 100_000  # files of a folder that is described


def get_source(name: str) -> Source:
    """Import a source by its name.

    Raises:
        UserError: If there is none.
    """
    if name not in SOURCES:
        raise UserError(f"source: {name} is unknown: choose one of {', '.join(SOURCES)}.")
    return cast(Source, import_module(f"bus_lightning.data.sources.{name}"))


@dataclass(frozen=True)
class DataSet:
    """A data set that a run uses.

    Attributes:
        name: Its name in the config.
        root: Its folder.
        index: What its source has read.
        classes: Its classes in the order of their labels.
    """

    name: str
    root: Path
    index: SourceIndex
    classes: tuple[str, ...]


def read_sets(data: Mapping[str, Any]) -> list[DataSet]:
    """Read the index of each data set that a config names.

    Args:
        data: The config group `data`.

    Raises:
        UserError: If a folder is missing, or something in it is wrong; for another layout than the source reads, the
            message says what the folder holds.
    """
    return [_read_set(name, options) for name, options in options_by_set(data).items()]


def _read_set(name: str, options: Mapping[str, Any]) -> DataSet:
    source, root = get_source(options["source"]), options["root"]
    if options["source"] == "table" and not root and options["table"]:
        root = Path(options["table"]).expanduser().absolute().parent
    place = find_root(root, name)
    try:
        index = source.read(place, options)
    except LayoutError as error:
        raise LayoutError(f"{error} {guess_layout(place)}") from None
    frame = index.frame
    words = {fold(word) for word in _as_list((options["drop"] or {}).get("class"))}
    kept = frame[[fold(value) not in words for value in frame["class"]]]
    if dropped := len(frame) - len(kept):
        log.info("%s: data.drop.class leaves out %d of %d images.", place, dropped, len(frame))
    if kept.empty:
        raise UserError(f"{place}: data.drop.class leaves no images.")
    classes = map_classes(kept["class"], (options["map"] or {}).get("class"), str(place))
    frame = kept.assign(**{"class": classes, "dataset": name}).reset_index(drop=True)
    listed = options["classes"] or sorted(set(classes))
    return DataSet(name, place, replace(index, frame=frame), tuple(map(str, listed)))


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def guess_layout(root: Path) -> str:
    """Describe a folder that a source cannot read, and suggest another source; one sentence."""
    if not root.is_dir():
        return f"{root} is not a folder."
    try:
        files = list(walk(root, _MOST_TO_GUESS))
    except UserError as error:
        return str(error)
    counts = Counter(
        file.parent.relative_to(root).as_posix() for file in files if file.suffix.lower() in PICTURES and file.is_file()
    )
    seen = ", ".join(f"{number} pictures in {place}/" for place, number in sorted(counts.items())[:6]) or "no pictures"
    return f"{root} has {seen}{_suggest(root, files, counts)}."


def _suggest(root: Path, files: list[Path], counts: Mapping[str, int]) -> str:
    marks = {
        "bus_bra": ("bus_data.csv", "BUSBRA/bus_data.csv"), "bus_uclm": ("INFO.csv", "BUS-UCLM/INFO.csv"),
        "udiat": ("DatasetB.xlsx", "Dataset B/DatasetB.xlsx"), "nnunet": ("dataset.json",),
    }  # fmt: skip
    for name, places in marks.items():
        if any((root / place).exists() for place in places):
            return f": try data={name}"
    names = {place.casefold() for place in counts}
    if names & set(IMAGE_FOLDERS) and names & set(MASK_FOLDERS):
        return ": try data=images_masks"
    books = [file for file in files if file.suffix.lower() == ".xlsx"]
    if books and any("_tumor" in file.stem for file in files):
        return ": try data=breast"
    if {"/".join(place.split("/")[1:]) for place in names} & set(IMAGE_FOLDERS):
        return ": try data=folder"
    tables = [file for file in files if file.suffix.lower() in (".csv", ".xlsx", ".parquet")]
    if tables:
        table = tables[0].relative_to(root).as_posix()
        return f" and the table {table}: try data=table data.table={root / table}"
    if len([file for file in files if file.suffix.lower() == ".json"]) == 1:
        return " and a JSON: try data=coco if it holds the annotations"
    return ": name the images in a table, data=table"
