"""Pages of prose with tables between markers: the prose is written by hand, the tables are made."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_aside
from bus_lightning.core.reading import read_text

_START, _END = r"<!-- table:(\w+) -->\n", "<!-- end -->"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """Make a Markdown table.

    Args:
        headings: One for each column.
        rows: The cells.
        words: Number of columns of words, which come first; the others hold numbers and are aligned on the right.
    """
    marks = ["---" if place < words else "---:" for place in range(len(headings))]
    lines = [headings, marks, *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def fill_tables(page: Path, tables: Mapping[str, str]) -> list[str]:
    """Put tables between their markers, `<!-- table:NAME -->` and `<!-- end -->`; the prose around them stays.

    Returns:
        Names of the tables that have no place.

    Raises:
        UserError: If a marker of the page has no end before the next one: the prose between them would be lost.
    """
    before, *places = re.split(f"({_START})", read_text(page))
    filled = [before]
    for marker, name, text in zip(places[::3], places[1::3], places[2::3], strict=True):
        _, end, prose = text.partition(_END)
        if not end:
            raise UserError(f"{page}: the table {name} has no {_END} before the next one: add it where the table ends.")
        filled += [marker, f"{tables[name]}\n{_END}{prose}" if name in tables else text]
    write_aside(page, "".join(filled))
    return [name for name in tables if name not in places[1::3]]
