"""Pages of prose with tables between markers: the prose is written by hand, the tables are made."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_together
from bus_lightning.core.reading import read_text

# A line of its own. Whatever else mentions a marker is prose.
_MARKER = re.compile(r"^<!-- (?:table:(?P<name>\S+)|end) -->[ \t]*(?P<line_end>\r?\n|\Z)", re.MULTILINE)
_CURE = "Save it as text in UTF-8"


@dataclass(frozen=True)
class MarkedPage:
    """A page, cut at the places of its tables.

    Attributes:
        prose: The texts before, between and after the tables, with the markers.
        names: Names of the tables, in the order of their places; a table can have several.
        old: What the tables hold, as `names`.
        line_end: What ends its lines.
    """

    prose: tuple[str, ...]
    names: tuple[str, ...]
    old: tuple[str, ...]
    line_end: str

    def filled(self, tables: Mapping[str, str]) -> str:
        """Return the page with new tables; others stay as they are."""
        made = {name: f"{table}\n".replace("\n", self.line_end) for name, table in tables.items()}
        contents = [made.get(name, old) for name, old in zip(self.names, self.old, strict=True)]
        return "".join(part for pair in zip(self.prose, [*contents, ""], strict=True) for part in pair)


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


def read_page(page: Path) -> MarkedPage:
    """Read a page with markers, `<!-- table:NAME -->` and `<!-- end -->`, each on a line of its own.

    Raises:
        UserError: If the page is not there, is not text, or a table has no end: one line that names the page.
    """
    if not page.is_file():
        raise UserError(f"{page}: there is no such page; name one with the markers of the tables.")
    text = read_text(page, cure=_CURE)
    prose, names, old, start, line_end = list[str](), list[str](), list[str](), 0, "\n"
    is_open = False
    for marker in _MARKER.finditer(text):
        name = marker["name"]
        if is_open == bool(name):
            line = text.count("\n", 0, marker.start()) + 1
            raise UserError(
                f"{page}, line {line}: the table {names[-1]} before this line has no end; "
                "add the line <!-- end --> below it."
                if name else f"{page}, line {line}: <!-- end --> ends no table; remove it, or add the table's marker."
            )  # fmt: skip
        cut = marker.end() if name else marker.start()
        (prose if name else old).append(text[start:cut])
        names += [name] if name else []
        start, is_open = cut, bool(name)
        line_end = marker["line_end"] or line_end
    if is_open:
        raise UserError(f"{page}: the table {names[-1]} has no end; add the line <!-- end --> below it.")
    return MarkedPage((*prose, text[start:]), tuple(names), tuple(old), line_end)


def fill_tables(page: Path, tables: Mapping[str, str]) -> list[str]:
    """Put tables between their markers; the prose around them stays. See `read_page` for the errors.

    Returns:
        Names of the tables that have no place.
    """
    marked = read_page(page)
    write_together({page: marked.filled(tables)})
    return [name for name in tables if name not in marked.names]
