"""Pages of prose with tables between markers: the prose is written by hand, the tables are made."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bus_lightning.core.files import write_aside
from bus_lightning.core.reading import read_text


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
    """
    text = read_text(page)

    def filled(place: re.Match[str]) -> str:
        return f"{place[1]}{tables[place[2]]}\n{place[3]}" if place[2] in tables else place[0]

    write_aside(page, re.sub(r"(<!-- table:(\w+) -->\n).*?(<!-- end -->)", filled, text, flags=re.DOTALL))
    return [name for name in tables if f"<!-- table:{name} -->" not in text]
