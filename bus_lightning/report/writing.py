"""Write a report: one page that opens anywhere, the same in Markdown, and a file per table and figure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from itertools import count, groupby
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import matplotlib
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.files import folder_aside, refuse_foreign
from bus_lightning.core.printable import printable, printable_lines
from bus_lightning.report.checklists import HEAD, Checklist, fill
from bus_lightning.report.sections import FigureItem, Note, Section, TableItem

_PARTS = {"index.html", "report.md", "tables", "figures", "checklists"}
_DPI = 180
_LARGEST_SVG = 400_000  # bytes; a larger figure holds images or many marks, and the page shows a lighter PNG
_LABELS = {"plain": "", "warning": "Warning", "good": "Check passed"}
_NOTHING = "\N{EN DASH}"
_BLANK = {"", "-", "\N{EN DASH}", "\N{EM DASH}", "n/a", "nan", "undefined"}
_UNIT = r"(?:[A-Za-z]{1,3}(?![A-Za-z])[^A-Za-z]*)"
_NUMBER = re.compile(rf"[<>≤≥~≈±+\u2212-]?\s*[\[(]?[<>+\u2212-]?\d[^A-Za-z]*{_UNIT}{{0,2}}")


@dataclass
class _Table:
    label: str
    item: TableItem
    header: list[str]
    numeric: list[bool]
    rows: list[tuple[str, ...]]
    data: str
    kind: ClassVar[str] = "table"


@dataclass
class _Figure:
    label: str
    item: FigureItem
    width: int
    height: int
    data: str
    kind: ClassVar[str] = "figure"


@dataclass
class _Chapter:
    number: int
    title: str
    paragraphs: list[str]
    items: list[_Table | _Figure | Note]

    @property
    def warnings(self) -> int:
        return sum(item.kind == "warning" for item in self.items)

    @property
    def parts(self) -> list[tuple[str, list[_Table | _Figure | Note]]]:
        """Heading -> items, in the order of reading; parts that are always open have no heading."""
        parts: list[tuple[str, list[_Table | _Figure | Note]]] = []
        for heading, items in groupby(self.items, _folded):
            entries = list(items)
            labels = ", ".join(entry.label for entry in entries if not isinstance(entry, Note))
            parts.append((f"{heading} ({labels})" if heading else "", entries))
        return parts


def _folded(entry: _Table | _Figure | Note) -> str:
    return "" if isinstance(entry, Note) else entry.item.folded


def write_report(
    out: Path,
    title: str,
    subtitle: str,
    sections: list[Section],
    facts: dict[str, str],
    checklists: Sequence[Checklist] = (),
) -> None:
    """Write a report into a folder.

    The folder holds `index.html` (one file that loads nothing else), `report.md`, `tables/<slug>.csv`,
    `figures/<slug>.svg` and `checklists/<name>.md`. It is written under another name and then replaces an older report
    as a whole; the same input gives the same bytes. Each figure also gets the file that the page shows: its
    `media_type` and `content`.

    Args:
        out: The folder; an older report in it is replaced.
        title: Title of the page.
        subtitle: A line below the title; may be empty.
        sections: The report, in the order of reading.
        facts: Name -> value for the head of the report, such as the data set and the number of runs.
        checklists: Those to fill with the places of the report.

    Raises:
        UserError: If `out` holds anything that is not part of a report.
        ValueError: If two tables or figures share a slug, a slug cannot be a file name, or the kind of a note is not
            "plain", "warning" or "good".
    """
    _check(sections)
    _refuse_foreign(out)
    with folder_aside(out) as folder:
        chapters = _write_items(folder, sections)
        content = {"title": title, "subtitle": subtitle, "chapters": chapters, "facts": facts}
        page = _render("page.html.j2", {"breakable": _breakable, "interval": _interval}, **content)
        (folder / "index.html").write_text(page, "utf-8", newline="\n")
        markdown = _render("report.md.j2", {"plain": plain, "paragraph": _paragraph}, **content)
        (folder / "report.md").write_text(re.sub(r"\n{3,}", "\n\n", markdown).rstrip() + "\n", "utf-8", newline="\n")
        _write_checklists(folder, chapters, checklists)


def _check(sections: list[Section]) -> None:
    seen: set[str] = set()
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Note):
            if item.kind not in _LABELS:
                raise ValueError(f"a note is one of {', '.join(_LABELS)}, not {item.kind!r}: {item.text!r}")
            continue
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", item.slug):
            raise ValueError(f"slug {item.slug!r} cannot be a file name: use letters, digits, '.', '-' and '_'")
        if item.slug.lower() in seen:  # some file systems do not distinguish "A" from "a"
            raise ValueError(f"slug {item.slug!r} names two tables or figures of one report")
        seen.add(item.slug.lower())


def _refuse_foreign(out: Path) -> None:
    """Refuse to replace a folder that holds anything but a report."""
    foreign = sorted({path.name for path in out.iterdir()} - _PARTS - {".DS_Store"}) if out.is_dir() else []
    holds = f"holds {foreign[0]}, which is not part of a report; move it or name another folder" if foreign else ""
    refuse_foreign(out, lambda _: not foreign, f"{out} {holds or 'is a file; name a folder for the report'}")


def _write_items(folder: Path, sections: list[Section]) -> list[_Chapter]:
    """Write the files of tables and figures, numbered through the report, and return the content of the pages."""
    (folder / "tables").mkdir()
    (folder / "figures").mkdir()
    tables, figures = count(1), count(1)
    chapters = []
    for number, section in enumerate(sections, 1):
        items: list[_Table | _Figure | Note] = []
        for item in section.items:
            if isinstance(item, TableItem):
                items.append(_write_table(folder / "tables", item, f"Table {next(tables)}"))
            elif isinstance(item, FigureItem):
                items.append(_write_figure(folder / "figures", item, f"Figure {next(figures)}"))
            else:
                items.append(item)
        chapters.append(_Chapter(number, section.title, _paragraphs(section.intro), items))
    return chapters


def _write_table(folder: Path, item: TableItem, label: str) -> _Table:
    path = folder / f"{item.slug}.csv"
    write_csv(item.frame, path)
    # By position: column names may repeat.
    columns = [_cells(item.frame.iloc[:, position].tolist()) for position in range(item.frame.shape[1])]
    header, rows = [str(name) for name in item.frame.columns], list(zip(*columns, strict=True))
    data = _data_uri(path.read_bytes(), "text/csv;charset=utf-8")
    return _Table(label, item, header, [_is_numeric(cells) for cells in columns], rows, data)


def _write_figure(folder: Path, item: FigureItem, label: str) -> _Figure:
    svg = folder / f"{item.slug}.svg"
    for text in _texts(item.figure):
        if (shown := printable_lines(text.get_text())) != text.get_text():
            text.set_text(shown)  # an SVG cannot have a control character
    # The salt and the date would differ from file to file.
    with matplotlib.rc_context({"svg.hashsalt": item.slug, "svg.fonttype": "path", "text.parse_math": False}):
        item.figure.savefig(svg, facecolor="white", metadata={"Date": None})
    item.figure.set_layout_engine("none")  # it is arranged now: do not arrange it again for the PNG
    item.media_type, item.content = "image/svg+xml", svg.read_bytes()
    if len(item.content) > _LARGEST_SVG:
        item.media_type, item.content = "image/png", _draw_png(item.figure)
    width, height = (round(96 * inches) for inches in item.figure.get_size_inches())  # CSS pixels
    return _Figure(label, item, width, height, _data_uri(item.content, item.media_type))


def _draw_png(figure: Figure) -> bytes:
    """Draw a figure as a PNG without transparency, which is smaller than Matplotlib's and takes a third of its time."""
    stream, png = BytesIO(), BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, facecolor="white", pil_kwargs={"compress_level": 0})
    with Image.open(stream) as picture:
        picture.convert("RGB").save(png, "PNG", compress_level=3, dpi=(_DPI, _DPI))
    return png.getvalue()


def _texts(artist: Artist) -> Iterator[Text]:
    """Find the texts of a figure, except those of axes that are off: asking such an axis would make its tick labels."""
    if isinstance(artist, Text):
        yield artist
    if not (isinstance(artist, Axis) and not artist.axes.axison):
        for child in artist.get_children():
            yield from _texts(child)


def _write_checklists(folder: Path, chapters: Sequence[_Chapter], checklists: Sequence[Checklist]) -> None:
    """Write each checklist with links to the places of the page."""
    places = {HEAD: "[the head of the report](../index.html)"}
    for chapter in chapters:
        label = f"section {chapter.number}, {plain(chapter.title)}"
        places[chapter.title] = f"[{label}](../index.html#section-{chapter.number})"
        for entry in chapter.items:
            if not isinstance(entry, Note):
                places[entry.item.slug] = f"[{entry.label}](../index.html#{entry.kind}-{entry.item.slug})"
    for checklist in checklists:
        (folder / "checklists").mkdir(exist_ok=True)
        file = folder / "checklists" / f"{checklist.name}.md"
        file.write_text(fill(checklist, places), "utf-8", newline="\n")


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _cells(values: list[Any]) -> list[str]:
    """Format the cells of a column; floats of a column share their number of decimals."""
    sizes = [abs(float(value)) for value in values if isinstance(value, Real) and not pd.isna(value) and value]
    if all(size.is_integer() for size in sizes):  # counts that became floats because one is missing
        number_format = ".0f"
    else:
        number_format = ".3f" if all(1e-3 <= size < 1e4 for size in sizes) else ".4g"
    return [_cell(value, number_format) for value in values]


def _cell(value: Any, number_format: str) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return _NOTHING
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):{number_format}}"
    return str(value)


def _is_numeric(cells: list[str]) -> bool:
    filled = [cell.strip() for cell in cells if cell.strip().lower() not in _BLANK]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def _render(template: str, filters: Mapping[str, Callable[[str], Any]], **values: Any) -> str:
    escapes = template.endswith(".html.j2")
    environment = Environment(autoescape=escapes, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"paragraphs": _paragraphs, **filters}
    source = files(__package__).joinpath(template).read_text("utf-8")
    return environment.from_string(source).render(labels=_LABELS, **values)


def _breakable(text: str) -> Markup:
    """Escape a text and allow line breaks in long names, such as those of conditions, at their punctuation."""
    shown = str(escape(text))
    if max(map(len, text.split()), default=0) > 16:
        shown = re.sub(r"(__|[_/=-]|\.(?!\d))(?=\w)", r"\1<wbr>", shown)
    return Markup(shown)


def _interval(text: str) -> Markup:
    """Escape a number and keep its interval together, so that a line breaks only before it."""
    value, bracket, rest = text.partition(" (")
    return Markup("<span>{}</span> <span>({}</span>" if bracket else "<span>{}</span>").format(value, rest)


def plain(text: str) -> str:
    """Escape a text within a line for GitHub's Markdown, which is also read in a terminal."""
    text = re.sub(r"([\\`*<>\[\]|~$&])", r"\\\1", printable(" ".join(text.split())))
    # Underscores open an emphasis only at the start of a word, so names of conditions stay as they are.
    return re.sub(r"(?<!\w)_+", lambda run: run[0].replace("_", r"\_"), text)


def _paragraph(text: str) -> str:
    """Escape a text at the start of a line, where a dash or a number would begin a list."""
    return re.sub(r"^(\d{1,9}(?=[.)])|(?=[#+=-]))", r"\1" + "\\\\", plain(text))
