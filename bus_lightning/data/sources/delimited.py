"""Read CSV in any of the usual separators and encodings, as rows of text."""

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.rows import Rows, bounded

_SEPARATORS = ",;\t|"
_SAMPLE = 64_000  # characters that decide the separator
_HINT = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)  # a first line for spreadsheet programs


def read_delimited(content: bytes, path: Path) -> Rows:
    """Read CSV: separators comma, semicolon, tab or bar; UTF-8, UTF-16 with a byte order mark, or Windows-1252.

    Raises:
        UserError: If a row has another number of cells than the header, or a quotation mark is not closed.
    """
    text = _decode(content, path)
    hint = _HINT.match(text)
    separator = hint[1] if hint else find_separator(text)
    body = text[hint.end() :] if hint else text
    return Rows(list(bounded(_cut(body, separator, 2 if hint else 1, path), path)))


def find_separator(text: str) -> str:
    """Find the separator that cuts most of the first rows into as many cells as the header; a comma for one column."""
    best, separator_of_best = (0.0, 0), ","
    for separator in _SEPARATORS:
        try:
            rows = [row for row in csv.reader(StringIO(text[:_SAMPLE], newline=""), delimiter=separator) if row]
        except csv.Error:  # a cell that is too long
            continue
        width = len(rows[0]) if rows else 1
        score = (sum(len(row) == width for row in rows) / max(1, len(rows)), width)
        if width > 1 and score > best:
            best, separator_of_best = score, separator
    return separator_of_best


def _cut(text: str, separator: str, first: int, path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield each row with its number, its cells stripped."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    width, number = 0, first - 1
    try:
        for number, row in enumerate(reader, first):
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            width = width or len(cells)
            if len(cells) < width or any(cells[width:]):
                name = "tab" if separator == "\t" else separator
                raise UserError(
                    f"{path}, row {number} has {len(cells)} cells and the header {width}, with the separator {name} "
                    "between them: correct the row, or put quotation marks around cells that contain it."
                )
            yield number, cells[:width]
    except csv.Error as error:
        raise UserError(
            f"{path}, row {number + 1} cannot be read ({error}): close its quotation marks, or save the table again."
        ) from None


def _decode(content: bytes, path: Path) -> str:
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = content.decode("utf-16")
        else:
            try:
                text = content.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path} is neither UTF-8, UTF-16 nor Windows-1252: save it again as CSV in UTF-8.")
    return text
