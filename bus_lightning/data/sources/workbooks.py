"""Read a sheet of an XLSX as rows of text, after checking how large it becomes when it is unpacked."""

import re
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from bus_lightning.core.errors import UserError
from bus_lightning.core.workarounds import member_of_sheet
from bus_lightning.data.sources.rows import MOST_CELLS, Rows, as_texts, bounded

_MOST_MEMBERS = 5_000
_MOST_UNPACKED = 500_000_000  # bytes
_HEAD = 4096
_ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="\$?([A-Z]{1,3})\$?(\d{1,7}):\$?([A-Z]{1,3})\$?(\d{1,7})"')
# A formula whose result no program has stored; a stored text may be empty.
_UNCOUNTED = re.compile(
    rb'<(?:\w+:)?c r="([A-Z]{1,3})(\d{1,7})"(?![^>]*t="str")[^>]*>'
    rb"<(?:\w+:)?f(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)(?:<(?:\w+:)?v\s*/>|<v></v>)?</(?:\w+:)?c>"
)


def read_workbook(content: bytes, path: Path, sheet: str | int = 0) -> Rows:
    """Read a sheet; merged cells all have the value of the first one, and formulas their stored result.

    Raises:
        UserError: If it is damaged or too large, or has no such sheet.
    """
    members = _check_archive(content, path)
    try:
        import openpyxl
    except ModuleNotFoundError:
        raise UserError(f"{path} needs openpyxl, which is not installed: pip install 'bus_lightning[train]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that do not matter here
            book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
            names = [page.title for page in book.worksheets]
            page = book.worksheets[_position(sheet, names, path)]
            page.reset_dimensions()  # the stated ones may be wrong, and are filled with empty cells
            unread: dict[int, str] = {}
            rows = list(bounded(_texts(page.iter_rows(values_only=True), unread), path))
            data = members.read(member_of_sheet(page))
    except UserError:
        raise
    except Exception as error:  # a damaged file makes openpyxl raise anything
        raise _damaged(path, error) from None
    for letters, number in _UNCOUNTED.findall(data):
        cell = f"{letters.decode()}{int(number)}"
        unread.setdefault(_column(letters), f"has a formula without a result in {cell}: open it in a spreadsheet "
                          "program, and save it")  # fmt: skip
    return Rows(_fill(rows, _MERGED.findall(data), path), unread, names if len(names) > 1 else ())


def _check_archive(content: bytes, path: Path) -> ZipFile:
    """Check what an archive announces before anything is unpacked, and that its XML defines no entities."""
    try:
        members = ZipFile(BytesIO(content))
        infos = members.infolist()
        if len(infos) > _MOST_MEMBERS or sum(info.file_size for info in infos) > _MOST_UNPACKED:
            raise UserError(
                f"{path} becomes larger than {_MOST_UNPACKED // 10**6} MB when it is unpacked: save only the table of "
                "the images, as CSV."
            )
        if "xl/workbook.xml" not in members.namelist():
            raise UserError(f"{path} is an archive, but not an XLSX: save the table as XLSX or CSV.")
        for info in infos:
            if info.filename.endswith((".xml", ".rels")):
                with members.open(info) as stream:
                    if b"<!DOCTYPE" in stream.read(_HEAD):
                        raise UserError(f"{path} defines its own XML entities: save it again as XLSX or CSV.")
    except (BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise _damaged(path, error) from None
    return members


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read as XLSX ({type(error).__name__}: {error}): save it again as XLSX or CSV.")


def _position(sheet: str | int, names: Sequence[str], path: Path) -> int:
    if not names:
        raise UserError(f"{path} has no sheet with cells: save the table again.")
    if isinstance(sheet, int) and 0 <= sheet < len(names):
        return sheet
    if str(sheet) not in names:
        raise UserError(f"{path} has no data.sheet={sheet}; its sheets are {', '.join(names)}.")
    return names.index(str(sheet))


def _texts(rows: Any, unread: dict[int, str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells as text; note the columns with a cell that has no true value."""
    for number, row in enumerate(rows, 1):
        texts = as_texts(row, number, unread, most_digits=15)
        for position, text in enumerate(texts):
            if text in _ERRORS:
                unread.setdefault(position, f"has the error {text} in row {number}: correct its formula")
        yield number, texts


def _fill(
    rows: list[tuple[int, Sequence[str]]], ranges: Sequence[tuple[bytes, ...]], path: Path
) -> list[tuple[int, Sequence[str]]]:
    """Give all cells of merged ranges the value of their first cell, where the table has rows and columns."""
    if not ranges:
        return rows
    by_number = {number: list(cells) for number, cells in rows}
    width = max((len(cells) for cells in by_number.values()), default=0)
    filled = 0
    for left, top, right, bottom in ranges:
        first = by_number.get(int(top), [])
        start, stop = _column(left), min(_column(right) + 1, width)
        value = first[start] if start < len(first) else ""
        covered = [number for number in range(int(top), int(bottom) + 1) if number in by_number]
        filled += (int(bottom) - int(top) + 1) + len(covered) * max(0, stop - start)
        if filled > MOST_CELLS:
            raise UserError(f"{path} has more than {MOST_CELLS:,} merged cells: save the table as CSV.")
        for number in covered:
            cells = by_number[number]
            cells += [""] * (stop - len(cells))
            cells[start:stop] = [value] * (stop - start)
    return sorted(by_number.items())


def _column(letters: bytes) -> int:
    """Return the position of a column, from 0, by its letters."""
    position = 0
    for letter in letters:
        position = position * 26 + letter - ord("A") + 1
    return position - 1
