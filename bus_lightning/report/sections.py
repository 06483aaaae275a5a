"""What a report consists of: sections of tables, figures and notes, free of any file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure


@dataclass
class TableItem:
    """Hold a table; its cells are strings that are ready to read, or numbers.

    Args:
        slug: Name of the files, unique in a report whatever the case: letters, digits, ``.``, ``-`` and ``_``.
        caption: What the table shows, with the number of images or runs behind it.
        frame: The table; its index is not shown.
        names_images: Whether the table may hold names of image files.
    """

    slug: str
    caption: str
    frame: pd.DataFrame
    names_images: bool = False


@dataclass
class FigureItem:
    """Hold a figure.

    Args:
        slug: Name of the files, unique in a report whatever the case: letters, digits, ``.``, ``-`` and ``_``.
        caption: What the figure shows, with the number of images or runs behind it.
        figure: A Matplotlib figure that was made without pyplot.
        alt: What the figure says, for a reader who does not see it.
        names_images: Whether the figure shows images or their names.
    """

    slug: str
    caption: str
    figure: Figure
    alt: str
    names_images: bool = False


@dataclass
class Note:
    """Hold a paragraph of plain text.

    Args:
        text: The paragraph, without markup.
        kind: ``"plain"``, ``"warning"`` (to be heeded before the numbers are used) or ``"good"`` (a check that passed).
    """

    text: str
    kind: str = "plain"


Item: TypeAlias = TableItem | FigureItem | Note


@dataclass
class Section:
    """Hold a section of a report.

    Args:
        title: The heading.
        intro: A paragraph of plain text below the heading; may be empty.
        items: Tables, figures and notes, in the order of reading.
    """

    title: str
    intro: str
    items: list[Item]
