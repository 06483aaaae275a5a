"""The columns of a table by their roles, and what their cells say about patients, splits and sizes."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.class_map import fold, list_counts
from bus_lightning.data.sources.folder_names import PARTS
from bus_lightning.data.sources.tables import column

_GAPS = frozenset([
    "n/a", "na", "n.a.", "<na>", "nan", "nat", "none", "null", "unknown", "missing", "#n/a", "not available",
    "not applicable",
])  # fmt: skip
_WITH_GAPS = ("patient", "group", "mask", "mm_per_pixel")
_MOST_FOLDS = 100
_SMALLEST, _LARGEST = 0.001, 2  # mm per pixel: ultrasound has about 0.03 to 0.3


@dataclass(frozen=True)
class Columns:
    """A table, its file, and the column of each role."""

    table: pd.DataFrame
    path: Path
    names: Mapping[str, str]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.table)

    def values(self, role: str) -> list[str] | None:
        """Return the cells of a role's column, with "" for gaps such as "n/a"; None if no column has the role.

        An accent is one character with its letter, as programs compose it; the names of files stay as they are.
        """
        if not (name := self.names.get(role)):
            return None
        cells = column(self.table, name, self.path, f"data.columns.{role}").tolist()
        if role not in ("image", "mask"):
            cells = [unicodedata.normalize("NFC", cell) for cell in cells]
        return ["" if _is_gap(cell) else cell for cell in cells] if role in _WITH_GAPS else cells

    def where(self, position: int) -> str:
        """Name the file and the row of a position."""
        return f"{self.path}, row {self.table.index[position]}"


def _is_gap(cell: str) -> bool:
    """Recognise a word for no value, and marks alone, such as `--`."""
    return cell.casefold() in _GAPS or not any(map(str.isalnum, cell))


def read_names(columns: Columns, role: str, notes: list[str]) -> list[str]:
    """Return the patient or group of each row, with one spelling of each.

    Names that differ only by upper and lower case, spaces, leading zeros or a final `.0`, which programs add to numbers
    in a column with gaps, are taken as one, so that the images of a patient never lie in two parts of a split. No
    message quotes a name.

    Args:
        columns: The table.
        role: `patient` or `group`.
        notes: Gets a sentence about such names.

    Raises:
        UserError: If a spreadsheet has rounded a number.
    """
    values = columns.values(role)
    if values is None:
        return [""] * len(columns)
    name = columns.names[role]
    first: dict[str, int] = {}
    spelled: list[str] = []
    others = Counter[str]()
    for position, value in enumerate(values):
        if _is_rounded(value):
            raise UserError(
                f"{columns.where(position)}, column {name}: a spreadsheet has rounded the number: write it as text."
            )
        key = fold("".join(value.split()))
        earlier = first.setdefault(key.lstrip("0") or key[:1], position)
        spelled.append(values[earlier])
        if value != values[earlier]:
            others[f"{columns.table.index[earlier]} and {columns.table.index[position]}"] += 1
    if others:
        notes.append(
            f"The {role}s in rows {next(iter(others))} of column {name} differ only by case, spaces, leading zeros "
            f"or a final .0, and are taken as one ({others.total()} such rows)."
        )
    return spelled


def _is_rounded(value: str) -> bool:
    """Recognise a long number that a spreadsheet has written like 1.23457E+15."""
    digits, mark, power = value.upper().partition("E+")
    return bool(mark) and power.isdigit() and digits.replace(".", "", 1).replace(",", "", 1).isdigit()


def read_sizes(columns: Columns) -> list[tuple[float, float] | None]:
    """Return (height, width) of a pixel in millimetres for each row; None where the cell is empty.

    Raises:
        UserError: If a cell is not such a size; a decimal comma is read as a point.
    """
    sizes: list[tuple[float, float] | None] = []
    for position, cell in enumerate(columns.values("mm_per_pixel") or [""] * len(columns)):
        if not cell:
            sizes.append(None)
            continue
        try:
            size = float(cell.replace(",", "."))
        except ValueError:
            size = 0.0
        if not _SMALLEST <= size <= _LARGEST:
            raise UserError(
                f"{columns.where(position)}, column {columns.names['mm_per_pixel']}: '{cell}' is not the size of a "
                f"pixel in millimetres, from {_SMALLEST} to {_LARGEST}: correct or empty the cell."
            )
        sizes.append((size, size))
    return sizes


def read_parts(columns: Columns) -> dict[str, list[tuple[str, ...]]]:
    """Return the part of each row: `parts_1` by the column of parts, and `parts_K` by the column of K folds.

    Raises:
        UserError: If a value is no part, or a row has no fold.
    """
    parts: dict[str, list[tuple[str, ...]]] = {}
    if (named := columns.values("split")) is not None:
        if unknown := Counter(word for word in named if word.casefold() not in PARTS):
            raise UserError(
                f"{columns.path}, column {columns.names['split']} has other values than train, val, test "
                f"({list_counts(unknown)}): correct them, or remove the rows."
            )
        parts["parts_1"] = [(PARTS[word.casefold()],) for word in named]
    if (cells := columns.values("fold")) is not None:
        folds = [fold(_as_number(cell)) for cell in cells]
        names = sorted(set(folds), key=lambda name: (len(name), name))
        if "" in names:
            position = folds.index("")
            raise UserError(f"{columns.where(position)} has no fold in column {columns.names['fold']}: fill the cell.")
        if not 2 <= len(names) <= _MOST_FOLDS:
            raise UserError(
                f"{columns.path}, column {columns.names['fold']} has {len(names)} different values: folds are 2 to "
                f"{_MOST_FOLDS}; name another column with data.columns.fold."
            )
        parts[f"parts_{len(names)}"] = [tuple("test" if name == own else "train" for name in names) for own in folds]
    return parts


def _as_number(cell: str) -> object:
    """Return a number for a cell such as 1.0, which is the fold 1."""
    try:
        return float(cell)
    except ValueError:
        return cell


def refuse_divided(columns: Columns, names: Mapping[str, Sequence[str]], parts: Mapping[str, Sequence[Any]]) -> None:
    """Refuse folds that divide a patient or a group; a division by the column of parts is counted later.

    Args:
        columns: The table.
        names: `patient` and `group` -> the value of each row.
        parts: From `read_parts`.

    Raises:
        UserError: At the first one; names two of its rows.
    """
    for place, folds in parts.items():
        if place == "parts_1":
            continue
        for role, values in names.items():
            first: dict[str, int] = {}
            for position, value in enumerate(values):
                earlier = first.setdefault(value, position)
                if value and folds[earlier] != folds[position]:
                    raise UserError(
                        f"{columns.path}, column {columns.names['fold']} puts a {role} into two folds, in rows "
                        f"{columns.table.index[earlier]} and {columns.table.index[position]}: correct it, or use "
                        "data.split.method=grouped with data.split.folds."
                    )
