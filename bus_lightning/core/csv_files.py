"""Write and read CSV files: names never become formulas, and an error names the file, the row and the column."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from bus_lightning.core.csv_cells import escape_cell, unescape_formula
from bus_lightning.core.errors import DamagedError
from bus_lightning.core.reading import MB, read_bytes

_LARGEST = 500 * MB  # a row per image needs some hundred bytes
_LONGEST_HEADER = 100_000  # bytes


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table in UTF-8, with all digits of its numbers; `read_table` reads the same texts from it."""
    safe = table.copy(deep=False)
    safe.columns = pd.Index([escape_cell(name) for name in table])
    for position, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            cells = [escape_cell(value) for value in table.iloc[:, position]]
            safe.isetitem(position, pd.Series(cells, index=table.index, dtype=object))
    safe.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def read_table(path: Path, needed: Iterable[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table as it was written; only numbers can be missing, because a class may be called 0 or NA.

    Args:
        path: The CSV.
        needed: Columns that it must have.
        text: Columns that hold text.

    Raises:
        DamagedError: When the file is missing, empty or not a table, lacks a column, or has an empty cell of text.
    """
    try:
        content = read_bytes(path, _LARGEST)
    except FileNotFoundError as error:
        raise DamagedError(path, f"it cannot be read ({error.strerror})") from error
    if len(content.partition(b"\n")[0]) > _LONGEST_HEADER:
        raise DamagedError(path, "its first line is not the header of a table")
    try:
        gaps = {name: ["", "nan"] for name in _names(content) if name not in text}
        table = pd.read_csv(BytesIO(content), dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=gaps,
                            low_memory=False)  # fmt: skip
    except (ValueError, OverflowError) as error:
        raise DamagedError(path, f"it is not a table ({error})") from error
    table.columns = pd.Index([unescape_formula(str(name)) for name in table])
    if missing := [name for name in needed if name not in table]:
        raise DamagedError(path, f"it has no column {', '.join(missing)}")
    if not isinstance(table.index, pd.RangeIndex):
        raise DamagedError(path, "its rows have more cells than its header")
    for name in text:
        if name in table and (empty := (table[name].isna() | (table[name] == "")).to_numpy()).any():
            raise bad_cell(path, table, int(empty.argmax()), name, "is not allowed")
        if name in table:
            table[name] = table[name].map(unescape_formula)
    table = table.copy()  # in one piece: pandas warns of one in many pieces when a column is added
    table.attrs["is_cut"] = not content.endswith(b"\n")
    return table


def _names(content: bytes) -> list[str]:
    """Return the names in the header of a CSV, as pandas reads them."""
    header = content.partition(b"\n")[0]
    names = header.decode("utf-8", "replace").split(",")
    is_plain = header.isascii() and header == header.strip() and not {*b'"\r'} & {*header}
    if is_plain and all(names) and len(set(names)) == len(names):
        return names
    return list(pd.read_csv(BytesIO(content), nrows=0))


def refuse_cut(path: Path, table: pd.DataFrame) -> None:
    """Refuse a table whose last line has no line end: it was cut off, and half a number is still a number.

    Args:
        path: The CSV.
        table: The table from `read_table`, with its cells checked.

    Raises:
        DamagedError: When the line end is missing.
    """
    if table.attrs.pop("is_cut"):  # pandas copies the attributes in every later operation
        raise DamagedError(path, f"it is cut off in {_row(len(table) - 1)}")


def check_numbers(
    path: Path,
    table: pd.DataFrame,
    columns: Iterable[str],
    low: float = -np.inf,
    high: float = np.inf,
    whole: bool = False,
    gaps: bool = False,
) -> None:
    """Check that columns hold numbers.

    Args:
        path: The CSV.
        table: The table from `read_table`.
        columns: Columns to check; columns that the table lacks are ignored.
        low: Smallest allowed value.
        high: Largest allowed value.
        whole: Whether only whole numbers are allowed.
        gaps: Whether a value may be missing or infinite.

    Raises:
        DamagedError: At the first cell that does not hold such a number.
    """
    columns = [name for name in columns if name in table]
    if _are_plain(table, columns, low, high, whole):
        return
    for name in columns:
        read = table[name].astype(str) if table[name].dtype.kind not in "fiu" else table[name]
        numbers = pd.to_numeric(read, errors="coerce").to_numpy("float64")
        is_allowed_gap = table[name].isna().to_numpy() | np.isinf(numbers) if gaps else np.zeros(len(table), bool)
        checks = {
            "is not a number": ~np.isfinite(numbers) & ~is_allowed_gap,
            f"is below {low:g}": numbers < low,
            f"is above {high:g}": numbers > high,
        }
        if whole:
            checks["is not a whole number"] = np.isfinite(numbers) & (numbers != np.round(numbers))
        for problem, bad in checks.items():
            if bad.any():
                raise bad_cell(path, table, int(bad.argmax()), name, problem)


def _are_plain(table: pd.DataFrame, columns: list[str], low: float, high: float, whole: bool) -> bool:
    """Say whether columns hold only finite numbers in their range: quick to check, and true of most tables."""
    if not all(table[name].dtype.kind in "fiu" for name in columns):
        return False
    numbers = table[columns].to_numpy("float64")
    is_plain = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
    return bool(is_plain.all()) and not (whole and (numbers != np.round(numbers)).any())


def bad_cell(path: Path, table: pd.DataFrame, position: int, column: str, problem: str) -> DamagedError:
    """Make the error for an impossible cell of a table.

    Args:
        path: The CSV.
        table: The table.
        position: Row, counted from 0.
        column: Name of the column.
        problem: What is wrong, such as "is not a number".
    """
    value = table[column].iloc[position]
    cell = "an empty cell" if pd.isna(value) or value == "" else f"'{value}'"
    return DamagedError(path, f"{_row(position)}, column {column}: {cell} {problem}")


def _row(position: int) -> str:
    """Name a row, counted from 1 below the header, and its line in the file, for an editor."""
    return f"row {position + 1} (line {position + 2})"
