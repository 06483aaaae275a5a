"""The masks that a table names: in cells, or by a pattern."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import PICTURES
from bus_lightning.data.sources.class_map import fold, list_counts
from bus_lightning.data.sources.places import Places
from bus_lightning.data.sources.table_columns import Columns

_JOINTS = (";", "&", "|", ",")  # between several masks in a cell
_YES = ("1", "true", "yes", "y", "x")
_NO = ("0", "false", "no", "n", "")
_FIELD = re.compile(r"\{(\w*)\}")


class MaskColumn:
    """The masks of each row.

    Args:
        columns: The table.
        places: The files below the root.
        folder: The folder below the root that the masks' paths are relative to.
        counting: The words by which a mask counts; None: yes, 1, true.

    Raises:
        UserError: If a pattern or a word is wrong.
    """

    def __init__(self, columns: Columns, places: Places, folder: str, counting: Any) -> None:
        self._columns, self._places, self._folder = columns, places, folder
        named = columns.names.get("mask", "")
        self.pattern = named if ("{" in named or "*" in named) and named not in columns.table else ""
        if self.pattern:
            _check_pattern(self.pattern)
        self._cells = None if self.pattern else columns.values("mask")
        self._counts = _which_count(columns, counting)

    def counts(self, position: int) -> bool:
        """Check whether the masks of a row count."""
        return self._counts[position]

    def masks_of(self, position: int, image: str) -> tuple[str, ...]:
        """Return the masks of a row that count.

        Raises:
            UserError: If one is not in the folder, or is the image itself.
        """
        if not self._counts[position]:
            return ()
        where = self._columns.where(position)
        if self.pattern:
            fitting = self._fitting(image)
            others = self._of_longer_names(image, fitting)
            if others and "{stem}*" in self.pattern:
                raise _fits_both(self.pattern, *min(others.items()), image)
            masks = [mask for mask in fitting if mask not in others]
        else:
            masks = [self._find(name, where) for name in self._names(position)]
        if image in masks:
            raise UserError(
                f"{where}: {image} is its own mask by data.columns.mask={self._columns.names['mask']}: name another "
                "column, or a pattern that only masks fit."
            )
        return tuple(dict.fromkeys(masks))

    def _fitting(self, image: str) -> list[str]:
        """List the files that fit the pattern for an image."""
        path = PurePosixPath(image)
        fields = {"stem": path.stem, "folder": str(path.parent), "name": path.name}
        return self._places.match(_FIELD.sub(lambda field: fields[field[1]], self.pattern))

    def _of_longer_names(self, image: str, masks: Sequence[str]) -> dict[str, str]:
        """Find the masks that also fit an image whose name begins with this one's, also one without a row.

        Returns:
            Mask -> that image, such as `1_2.png` next to `1.png`.
        """
        if not masks or "*" not in self.pattern:
            return {}
        path = PurePosixPath(image)
        others = {
            other: stem for other in self._places.match(str(path.with_name(f"{path.stem}*")))
            if (stem := PurePosixPath(other).stem) != path.stem
            and other not in masks
            and PurePosixPath(other).suffix.lower() in PICTURES
        }  # fmt: skip
        near = [other for other, stem in others.items() if any(stem in mask for mask in masks)]
        return {mask: other for other in near for mask in self._fitting(other) if mask in masks}

    def _names(self, position: int) -> Sequence[str]:
        """Separate several masks in a cell."""
        cell = self._cells[position] if self._cells else ""
        if not cell or self._places.find(self._below(cell, position)):
            return [cell] if cell else []
        for joint in _JOINTS:
            if joint in cell:
                return [part.strip() for part in cell.split(joint) if part.strip()]
        return [cell]

    def _below(self, cell: str, position: int) -> str:
        return self._places.path_below(cell, self._columns.where(position), self._folder)

    def _find(self, name: str, where: str) -> str:
        file = self._places.path_below(name, where, self._folder)
        if known := self._places.find(file):
            return known
        raise UserError(f"{where}: the mask {file} is not in {self._places.root}: copy it there, or empty the cell.")


def refuse_shared(rows: Mapping[str, Mapping[str, Any]], masks: MaskColumn, columns: Columns) -> None:
    """Refuse a mask that is an image of the table, and a pattern that no mask fits, or that gives a mask two images.

    Raises:
        UserError: At the first such mask.
    """
    images = {row["image"] for row in rows.values()}
    owner: dict[str, str] = {}
    for row in rows.values():
        for mask in row["masks"]:
            if mask in images:
                raise UserError(
                    f"{columns.path}: the mask {mask} of {row['image']} is also an image of the table: correct "
                    f"data.columns.mask={columns.names['mask']} or the rows."
                )
            if masks.pattern and owner.setdefault(mask, row["image"]) != row["image"]:
                raise _fits_both(masks.pattern, mask, row["image"], owner[mask])
    if masks.pattern and rows and not owner:
        raise UserError(
            f"data.columns.mask={masks.pattern}: no file fits it for any image, such as "
            f"{next(iter(rows.values()))['image']}: paths are relative to data.root."
        )


def note_shared(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Count the masks that cells give to several images: an empty one may be meant, another is often a slip."""
    owners: dict[str, list[str]] = {}
    for row in rows.values():
        for mask in row["masks"]:
            owners.setdefault(mask, []).append(row["image"])
    shared = {mask: images for mask, images in owners.items() if len(images) > 1}
    if not shared:
        return []
    mask, images = min(shared.items())
    return [f"Masks of several images: {len(shared)}, such as {mask} of {images[0]} and {images[1]}."]


def _fits_both(pattern: str, mask: str, later: str, earlier: str) -> UserError:
    return UserError(
        f"data.columns.mask={pattern}: {mask} fits both {earlier} and {later}: put something between {{stem}} and *, "
        "such as {stem}_*."
    )


def _which_count(columns: Columns, counting: Any) -> list[bool]:
    """Say for each row whether its masks count."""
    kinds = columns.values("mask_counts")
    if kinds is None and counting is not None:  # else every mask would count
        raise UserError(
            "data.map.mask_counts needs data.columns.mask_counts, the column with these words: add it to data.columns."
        )
    if kinds is None:
        return [True] * len(columns)
    where = f"{columns.path}, column {columns.names['mask_counts']}"
    if counting is None:
        if unknown := Counter(kind for kind in kinds if fold(kind) not in (*_YES, *_NO)):
            raise UserError(
                f"{where} has other values than yes and no ({list_counts(unknown)}): name those whose masks count with "
                "'data.map.mask_counts=[WORD]'."
            )
        words = set(_YES)
    else:
        words = {fold(word) for word in (counting if isinstance(counting, list | tuple) else [counting])}
        if unused := sorted(words - {fold(kind) for kind in kinds}):
            raise UserError(
                f"{where} has no value '{unused[0]}' of data.map.mask_counts; it has {list_counts(Counter(kinds))}."
            )
    return [fold(kind) in words for kind in kinds]


def _check_pattern(pattern: str) -> None:
    if unknown := [name for name in _FIELD.findall(pattern) if name not in ("stem", "folder", "name")]:
        raise UserError(
            f"data.columns.mask={pattern}: {{{unknown[0]}}} is not known; use {{stem}}, {{folder}}, {{name}}."
        )
    parts = PurePosixPath(pattern).parts
    if pattern.startswith("/") or ".." in parts or "**" in pattern:
        raise UserError(
            f"data.columns.mask={pattern}: a pattern is relative to data.root, without .. and **: use "
            "masks/{stem}_*.png."
        )
