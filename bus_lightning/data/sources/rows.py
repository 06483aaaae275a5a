"""The rows of a table before they become a frame: bounded, and with their number in the file."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from bus_lightning.core.errors import UserError

MOST_CELLS = 5_000_000  # 31,200 images with 160 columns
MOST_CHARACTERS = 500_000_000
LONGEST_CELL = 32_767  # as in a spreadsheet
_FLOAT_DIGITS = 15  # that a float and a spreadsheet keep


@dataclass(frozen=True)
class Rows:
    """A header and rows of text.

    Attributes:
        rows: Number of the row in the file, counted from 1, and its cells; the first row is the header.
        unread: Column, by its position -> why its cells cannot be used.
        sheets: Names of the sheets, if there are several.
    """

    rows: Sequence[tuple[int, Sequence[str]]]
    unread: Mapping[int, str] = field(default_factory=dict)
    sheets: Sequence[str] = ()


def bounded(rows: Iterable[tuple[int, Sequence[str]]], path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the rows that are not empty.

    Raises:
        UserError: If there are more than 5 million cells, or half a billion characters.
    """
    cells = characters = 0
    for number, row in rows:
        cells += 1 + len(row)
        characters += sum(map(len, row))
        if cells > MOST_CELLS or characters > MOST_CHARACTERS:
            raise UserError(f"{path} has more than {MOST_CELLS:,} cells: keep only the rows and columns of the images.")
        if any(row):
            yield number, row


def make_table(read: Rows, path: Path) -> pd.DataFrame:
    """Make a frame of text, whose index is the number of the row in the file.

    Columns without a name are left out, and so are those of a name that occurs twice. `attrs` has `unread` (column ->
    why it cannot be used) and `sheets`.

    Raises:
        UserError: If there is no row below the header.
    """
    if not read.rows:
        raise UserError(f"{path} is empty: save the table again.")
    header = [name.strip() for name in read.rows[0][1]]
    if len(read.rows) == 1:
        raise UserError(f"{path} has a header ({', '.join(header)}) and no row below it: add a row for each image.")
    unread = {header[position]: why for position, why in read.unread.items() if position < len(header)}
    unread |= {
        name: "is there more than once: rename one of the columns" for name, n in Counter(header).items() if n > 1
    }
    kept = [position for position, name in enumerate(header) if name and name not in unread]
    cells = [[row[position] if position < len(row) else "" for position in kept] for _, row in read.rows[1:]]
    table = pd.DataFrame(cells, columns=[header[position] for position in kept], dtype=object,
                         index=[number for number, _ in read.rows[1:]])  # fmt: skip
    unread.pop("", None)
    table.attrs = {"unread": unread, "sheets": list(read.sheets)}
    return table


def as_texts(values: Iterable[object], number: int, unread: dict[int, str], most_digits: int = 0) -> list[str]:
    """Write the cells of a row as text: 4 and 4.0 as "4", no value as "", a date without a time as 2024-05-31.

    Args:
        values: The cells.
        number: Number of the row.
        unread: Gets the position of a column that has a rounded number, and the reason.
        most_digits: Digits that a whole number may have; 0 for any number.
    """
    texts = []
    for position, value in enumerate(values):
        digits = _FLOAT_DIGITS if isinstance(value, float) else most_digits
        if isinstance(value, int | float | Decimal) and digits and 10**digits <= abs(float(value)) < float("inf"):
            unread.setdefault(position, f"has a number of more than {digits} digits in row {number}, which is rounded: "
                              "write it as text")  # fmt: skip
        texts.append(_as_text(value))
    return texts


def _as_text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value == value // 1:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return str(value).strip()
