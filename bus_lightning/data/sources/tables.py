"""Read tables of others, CSV, XLSX or Parquet, as text."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import read_bytes

_SEPARATORS = ",;\t|"
_MOST = 200_000_000  # bytes
_SAMPLE = 64_000  # characters that decide the separator


def read_any_table(path: Path, sheet: str | int = 0) -> pd.DataFrame:
    """Read a table of text; a cell without a value is the empty text, and spaces around a value are removed.

    The separator of a CSV is a comma, semicolon, tab or bar; its encoding UTF-8, UTF-16 with a byte order mark, or
    Windows-1252.

    Args:
        path: A file that ends in `.xlsx`, `.parquet`, or else is a CSV.
        sheet: Name or position of the sheet of an XLSX.

    Raises:
        UserError: If it is missing or not a table.
    """
    try:
        content = read_bytes(path, _MOST)
    except FileNotFoundError:
        raise UserError(f"There is no table {path}: check its name and folder.") from None
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            table = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
        elif path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            text = _decode(content)
            table = pd.read_csv(StringIO(text), sep=find_separator(text, path), dtype=str, keep_default_na=False,
                                index_col=False)  # fmt: skip
    except ImportError as error:
        raise UserError(f"{path} needs {error.name}, which is not installed: pip install -e '.[tables]'") from None
    except UserError:
        raise
    except Exception as error:  # a damaged archive makes the readers raise anything
        raise UserError(f"{path} is not a table that can be read ({type(error).__name__}: {error}).") from None
    table.columns = [str(name).strip() for name in table.columns]
    return table.map(_as_text)


def column(table: pd.DataFrame, name: str, path: Path, option: str = "") -> "pd.Series[str]":
    """Return a column of a table.

    Args:
        table: From `read_any_table`.
        name: The column; upper and lower case count only if two columns differ by it.
        path: The table's file, for the message.
        option: The option that named the column, such as `data.columns.patient`.

    Raises:
        UserError: If there is no such column; lists those that there are.
    """
    if name in table:
        return table[name]
    same = [known for known in table.columns if known.casefold() == name.casefold()]
    if len(same) == 1:
        return table[same[0]]
    origin = f"{option}={name}" if option else f"column '{name}'"
    raise UserError(f"{path} has no {origin}; its columns are {', '.join(table.columns)}.")


def require_columns(table: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Refuse a table that lacks a column."""
    for name in names:
        column(table, name, path)


def find_separator(text: str, path: Path) -> str:
    """Find the separator of a CSV: the one that cuts all of its first rows into the same number of cells.

    Raises:
        UserError: If several cells stand in a row, and no separator does so.
    """
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1]
    cells = {}
    for separator in _SEPARATORS:
        numbers = {len(row) for row in csv.reader(StringIO(sample), delimiter=separator) if row}
        if len(numbers) == 1 and (number := numbers.pop()) > 1:
            cells[separator] = number
    if cells:
        return max(cells, key=lambda separator: cells[separator])
    if not any(separator in sample.partition("\n")[0] for separator in _SEPARATORS):
        return ","  # a table of one column
    raise UserError(
        f"{path} has rows of different lengths with each of the separators , ; tab |: save it again as CSV."
    )


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _as_text(value: object) -> str:
    """Write a cell as text: 4 and 4.0 as "4", no value as ""."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
