"""The sources by name, as `data.sets.NAME.source` names them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from bus_lightning.config.data_sets import options_by_set, root_option
from bus_lightning.core.errors import UserError
from bus_lightning.data.index import find_root
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.class_map import dropped_words, fold, map_classes, rename_known
from bus_lightning.data.sources.guessing import guess_layout
from bus_lightning.data.sources.source_index import LayoutError, Source, SourceIndex

log = logging.getLogger(__name__)
SOURCES = (
    "busi", "folder", "images_masks", "table", "bus_bra", "breast", "bus_uclm", "udiat", "nnunet", "coco",
)  # fmt: skip


def get_source(name: str) -> Source:
    """Import a source by its name.

    Raises:
        UserError: If there is none.
    """
    if name not in SOURCES:
        raise UserError(f"source: {name} is unknown: choose one of {', '.join(SOURCES)}.")
    return cast(Source, import_module(f"bus_lightning.data.sources.{name}"))


def find_card(name: str) -> Card | None:
    """Return what is published about a data set; None for a layout that any set may have, and for an unknown name."""
    card = get_source(name).CARD if name in SOURCES else None
    return card if card and card.counts else None


@dataclass(frozen=True)
class DataSet:
    """A data set that a run uses.

    Attributes:
        name: Its name in the config.
        root: Its folder.
        index: What its source has read.
        classes: Its classes in the order of their labels.
        dropped: Number of images that `data.drop.class` leaves out of the index.
    """

    name: str
    root: Path
    index: SourceIndex
    classes: tuple[str, ...]
    dropped: int = 0


def read_sets(data: Mapping[str, Any]) -> list[DataSet]:
    """Read the index of each data set that a config names.

    Args:
        data: The config group `data`.

    Raises:
        UserError: If a folder is missing, or something in it is wrong; for another layout than the source reads, the
            message says what the folder holds.
    """
    by_name, found = options_by_set(data), set[str]()
    sets = [_read_set(name, options, root_option(name, data), found) for name, options in by_name.items()]
    if unused := sorted(set().union(*map(dropped_words, by_name.values())) - found):
        log.warning(
            "data.drop.class names '%s', but no image has this word as its class: check its spelling.", unused[0]
        )
    return sets


def _read_set(name: str, options: Mapping[str, Any], option_of_root: str, found: set[str]) -> DataSet:
    """Read the index of a data set, and add the words of `drop.class` that it has to those that are found."""
    source, root = get_source(options["source"]), options["root"]
    if options["source"] == "table" and not root:  # without a table, the source names the option
        root = Path(options["table"] or "").expanduser().absolute().parent
    place = find_root(root, name, option_of_root)
    try:
        index = source.read(place, options)
    except LayoutError as error:
        raise LayoutError(f"{error} {guess_layout(place, options['source'])}") from None
    frame = index.frame
    words = dropped_words(options)
    kept = frame[[fold(value) not in words for value in frame["class"]]]
    found |= words & set(map(fold, frame["class"]))
    if dropped := len(frame) - len(kept):
        log.info("%s: data.drop.class leaves out %d of %d images.", place, dropped, len(frame))
    if kept.empty:
        raise UserError(f"{place}: data.drop.class leaves no images.")
    classes = map_classes(kept["class"], (options["map"] or {}).get("class"), str(place))
    if option := rename_known(classes):
        log.warning(
            "%s: scores of benign, malignant and normal images need classes with exactly these names. "
            "To have these scores, add %s.", place, option
        )  # fmt: skip
    frame = kept.assign(**{"class": classes, "dataset": name}).reset_index(drop=True)
    ordered = _order_classes(classes, options, has_dropped=bool(words))
    return DataSet(name, place, replace(index, frame=frame), ordered, dropped)


def _order_classes(classes: list[str], options: Mapping[str, Any], has_dropped: bool) -> tuple[str, ...]:
    """List the classes of a set as its option `classes` does; sorted if that names words which are mapped to others."""
    present, listed = set(classes), [str(name) for name in options["classes"] or ()]
    mapping = (options["map"] or {}).get("class")
    if not listed or (mapping and not set(listed) <= set(map(str, mapping))):
        return tuple(sorted(present))
    return tuple(name for name in listed if name in present or not (mapping or has_dropped))
