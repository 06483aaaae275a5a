"""The index that every source makes: a row per image, and what it could not use."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.card import Card

COLUMNS = ("id", "image", "masks", "class", "patient", "dataset")
NO_CLASS = "unlabelled"  # the class of a data set without classes; it can be segmented only


class LayoutError(UserError):
    """A folder has another layout than a source reads."""


@dataclass(frozen=True)
class SourceIndex:
    """The images of a data folder.

    Attributes:
        frame: A row per image, sorted by `id`, with the columns `id`, `image` (path below the root), `masks` (tuple of
            such paths), `class`, `patient` (text; empty if unknown), `dataset`, and those of the set, such as `birads`,
            `device`, `mm_per_pixel` (height and width in the upright image, as a tuple) or `parts_5` (the part of
            the image in each of 5 published folds).
        skipped: File below the root -> why it is not read.
        orphans: Mask files without an image.
        missing: Ids of a table whose image is not in the folder.
        notes: What a user should know about the folder, a sentence each.
    """

    frame: pd.DataFrame
    skipped: dict[str, str] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Source(Protocol):
    """A module that reads one layout."""

    CARD: Card

    def read(self, root: Path, options: Mapping[str, Any]) -> SourceIndex:
        """Read the index of a data folder.

        Args:
            root: The folder.
            options: The options of the config group `data` that this source takes.

        Raises:
            UserError: If the folder has another layout, in one line that says what was expected.
        """
        ...


def make_frame(rows: Sequence[Mapping[str, Any]], dataset: str, where: str) -> pd.DataFrame:
    """Make the frame of an index from its rows, sorted by id.

    Args:
        rows: A mapping per image; missing `masks`, `class` and `patient` become empty or `NO_CLASS`.
        dataset: Name of the data set.
        where: The folder or table, for messages.

    Raises:
        UserError: If there is no row, a name is not UTF-8, an id or image occurs twice, or a class is empty.
    """
    if not rows:
        raise LayoutError(f"{where} holds no images.")
    _refuse_unreadable_names(rows, where)
    defaults = {"masks": (), "class": NO_CLASS, "patient": "", "dataset": dataset}
    frame = pd.DataFrame([defaults | dict(row) for row in rows])
    refuse_repeated(frame["id"], "id", where)
    refuse_repeated(frame["image"], "image", where)
    if (empty := frame.loc[frame["class"] == "", "id"]).size:
        raise UserError(f"{where} gives {empty.iloc[0]} no class ({len(empty)} such images): fill it in.")
    own = [name for name in frame.columns if name not in COLUMNS]
    return frame.sort_values("id", ignore_index=True)[[*COLUMNS, *own]]


def _refuse_unreadable_names(rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse the name of a file or folder that is not UTF-8, which neither a hash nor a CSV could hold."""
    for row in rows:
        for name in (row["image"], *row.get("masks", ())):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise UserError(f"{where}: the name of {name} is not UTF-8: rename the file or its folder.") from None


def refuse_repeated(values: Iterable[str], kind: str, where: str) -> None:
    """Refuse a value that occurs twice.

    Raises:
        UserError: If there is one; names the first and counts the others.
    """
    repeated = sorted(value for value, number in Counter(values).items() if number > 1)
    if repeated:
        raise UserError(
            f"{where}: the {kind} '{repeated[0]}' is there more than once ({len(repeated)} such {kind}s): "
            "leave one row for each image."
        )
