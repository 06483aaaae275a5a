"""The parts of a report: sections of tables, figures and notes, independent of any file format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure


@dataclass
class TableItem:
    """A table.

    Attributes:
        slug: Name of the file, unique in a report without regard to case: letters, digits, ``.``, ``-`` and ``_``.
        caption: What the table shows, with the number of images or runs.
        frame: The table; its cells are formatted text or numbers, its index is not shown.
        names_images: Whether the table may contain names of image files.
        folded: Heading of a part that a reader opens; neighbours with the same heading share it. "": always open.
    """

    slug: str
    caption: str
    frame: pd.DataFrame
    names_images: bool = False
    folded: str = ""


@dataclass
class FigureItem:
    """A figure.

    Attributes:
        slug: Name of the file, as that of a table.
        caption: What the figure shows, with the number of images or runs.
        figure: A Matplotlib figure that was made without pyplot.
        alt: The content of the figure in words.
        names_images: Whether the figure shows images or their names.
        folded: As that of a table.
        media_type: Of the file that the page shows: image/svg+xml or image/png; empty before the report is written.
        content: The bytes of that file; empty before the report is written.
    """

    slug: str
    caption: str
    figure: Figure
    alt: str
    names_images: bool = False
    folded: str = ""
    media_type: str = ""
    content: bytes = b""


@dataclass
class Note:
    """A paragraph of plain text without markup; `kind` is ``"plain"``, ``"warning"`` or ``"good"`` (a check passed)."""

    text: str
    kind: str = "plain"


Item: TypeAlias = TableItem | FigureItem | Note


def fold(heading: str, items: Iterable[Item]) -> list[Item]:
    """Put tables and figures into a part with this heading that a reader opens; notes are always shown, before it."""
    notes, folded = list[Item](), list[Item]()
    for item in items:
        if isinstance(item, Note):
            notes.append(item)
        else:
            folded.append(replace(item, folded=heading))
    return notes + folded


@dataclass
class Section:
    """A section with a heading, a paragraph of plain text that may be empty, and items in the order of reading."""

    title: str
    intro: str
    items: list[Item]
