"""Read tables of others, CSV, XLSX or Parquet, as text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import read_bytes
from bus_lightning.data.sources.delimited import read_delimited
from bus_lightning.data.sources.parquets import read_parquet
from bus_lightning.data.sources.rows import make_table
from bus_lightning.data.sources.workbooks import read_workbook

_MOST = 200_000_000  # bytes
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


def read_any_table(path: Path, sheet: str | int = 0) -> pd.DataFrame:
    """Read a table of text; a cell without a value is the empty text, and spaces around a value are removed.

    The content of the file says what it is, not its name.

    Args:
        path: A CSV (separated by commas, semicolons, tabs or bars; UTF-8, UTF-16 or Windows-1252), XLSX or Parquet.
        sheet: Name or position of the sheet of an XLSX; the other formats have one table, sheet 0.

    Returns:
        The rows that are not empty; the index is their number in the file, and the header is row 1. `attrs` is as in
        `make_table`.

    Raises:
        UserError: If it is missing or not a table, or has no such sheet.
    """
    try:
        content = read_bytes(path, _MOST, cure="Save the table again as CSV, XLSX or Parquet")
    except FileNotFoundError:
        raise UserError(f"There is no table {path}: check its name and folder.") from None
    if content.startswith(_OLD_OFFICE):
        raise UserError(f"{path} is an old or protected workbook: save it as XLSX without a password, or as CSV.")
    if content.startswith(b"PK\3\4"):
        return make_table(read_workbook(content, path, sheet), path)
    is_parquet = content.startswith(b"PAR1")
    if not is_parquet and path.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".ods", ".parquet"):
        raise UserError(
            f"{path} does not hold {path.suffix[1:].upper()}: save the table again as CSV, XLSX or Parquet."
        )
    if sheet != 0:
        raise UserError(
            f"{path} has no sheets, but data.sheet={sheet} names one: leave data.sheet out, or name an XLSX."
        )
    return make_table(read_parquet(content, path) if is_parquet else read_delimited(content, path), path)


def column(table: pd.DataFrame, name: str, path: Path, option: str = "") -> "pd.Series[str]":
    """Return a column of a table.

    Args:
        table: From `read_any_table`.
        name: The column; upper and lower case count only if two columns differ by it.
        path: The table's file, for the message.
        option: The option that named the column, such as `data.columns.patient`.

    Raises:
        UserError: If there is no such column, which lists those that there are; or its cells cannot be used.
    """
    unread = table.attrs["unread"]
    known = [*table.columns, *unread]
    same = [name] if name in known else [other for other in known if other.casefold() == name.casefold()]
    if len(same) == 1 and same[0] not in unread:
        return table[same[0]]
    if len(same) == 1:
        raise UserError(f"{path}, column '{same[0]}' {unread[same[0]]}.")
    origin = f"{option}={name}" if option else f"column '{name}'"
    hint = ""
    if table.attrs["sheets"]:
        hint = f" Another sheet is read with data.sheet=NAME; there are {', '.join(table.attrs['sheets'])}."
    elif len(known) == 1:
        hint = " If it has more columns, save it with , ; | or a tab between the cells."
    raise UserError(f"{path} has no {origin}; its columns are {', '.join(known)}.{hint}")


def require_columns(table: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Refuse a table that lacks a column."""
    for name in names:
        column(table, name, path)
