"""Read a Parquet as rows of text, after checking the size that it announces."""

from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.rows import LONGEST_CELL, MOST_CELLS, Rows, as_texts, bounded

_MOST_UNPACKED = 500_000_000  # bytes
_BATCH = 1000  # rows


def read_parquet(content: bytes, path: Path) -> Rows:
    """Read the columns of texts, numbers and dates; columns of lists, records and bytes are not read.

    Raises:
        UserError: If it is damaged or too large, or pyarrow is missing.
    """
    try:
        from pyarrow import parquet, types
    except ModuleNotFoundError:
        raise UserError(f"{path} needs pyarrow, which is not installed: pip install 'bus_lightning[tables]'") from None
    try:
        about = parquet.read_metadata(BytesIO(content))
        schema = about.schema.to_arrow_schema()
        names = [str(name) for name in schema.names]
        is_text = [types.is_string(kind) or types.is_large_string(kind) for kind in schema.types]
        repeated = {name for name, number in Counter(names).items() if number > 1}
        unread = {
            position: "holds lists, records or bytes: write a text"
            for position, kind in enumerate(schema.types)
            if types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind)
            or types.is_fixed_size_binary(kind) or types.is_binary_view(kind)
        }  # fmt: skip
        flat = [name for position, name in enumerate(names) if position not in unread and name not in repeated]
        if about.num_rows * max(1, len(flat)) > MOST_CELLS or _unpacked(about, set(flat)) > _MOST_UNPACKED:
            raise UserError(
                f"{path} announces {about.num_rows:,} rows of {len(flat)} columns: keep only the rows and columns of "
                "the images."
            )
        texts = [name for name, is_one in zip(names, is_text, strict=True) if is_one and name in flat]
        file = parquet.ParquetFile(BytesIO(content), read_dictionary=texts)
        rows = [(1, names), *bounded(_texts(file, names, flat, unread, path), path)]
    except UserError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise anything
        raise UserError(
            f"{path} cannot be read as Parquet ({type(error).__name__}: {error}): save it again as Parquet or CSV."
        ) from None
    return Rows(rows, unread)


def _unpacked(about: Any, names: set[str]) -> int:
    """Return how many bytes some columns announce to have when they are unpacked."""
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    parts = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(part.total_uncompressed_size for part in parts if part.path_in_schema in names)


def _texts(
    file: Any, names: Sequence[str], flat: Sequence[str], unread: dict[int, str], path: Path
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows; cells of columns that are not read are empty."""
    from pyarrow import compute, types

    number = 2
    for batch in file.iter_batches(_BATCH, columns=list(flat)):
        columns: dict[str, list[Any]] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            known = column.dictionary if types.is_dictionary(column.type) else column
            if types.is_string(known.type) or types.is_large_string(known.type):
                longest = compute.max(compute.binary_length(known)).as_py() or 0
                if longest > LONGEST_CELL:
                    raise UserError(f"{path}, column '{name}' has a cell of {longest:,} characters: leave it out.")
            columns[name] = column.to_pylist()
        nothing = [None] * batch.num_rows
        for row in zip(*(columns.get(name, nothing) for name in names), strict=True):
            yield number, as_texts(row, number, unread)
            number += 1
