"""What the audit measures on each image: its size, its colour, burned-in marks and the size of its lesion."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bus_lightning.data.burned_in import has_marks_in
from bus_lightning.data.channels import brightest_and_spread

COLUMNS = {"width": "Int64", "height": "Int64", "tinted": "boolean", "marked": "boolean", "lesion": "Int64"}
_COLOR_SPREAD, _COLOR_PIXELS = 5, 20  # grey levels between channels, pixels: BUSI has 16 images with coloured marks
_TINTED_SHARE = 0.2  # of the pixels: coloured marks cover at most 6% of an image of BUSI, a tint at least 50% in BrEaST


@dataclass(frozen=True)
class Measures:
    """The measures of one image.

    Attributes:
        width: In pixels.
        height: In pixels.
        tinted: Whether the whole image is coloured.
        colored: Whether a part of an image that is not tinted is coloured, such as a caliper.
        marked: Whether text, calipers or frames are burned in.
        lesion: Pixels of the lesion, in all masks together; None without a mask, or with one that cannot be used.
    """

    width: int
    height: int
    tinted: bool
    colored: bool
    marked: bool
    lesion: int | None


def measure_image(image: np.ndarray, lesion: np.ndarray | None) -> Measures:
    """Measure an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        lesion: (H, W) uint8, 0 outside the lesion; None if it is unknown.
    """
    height, width = image.shape[:2]
    brightest, spread = brightest_and_spread(image)
    colored = int(np.count_nonzero(spread > _COLOR_SPREAD))
    tinted = colored > _TINTED_SHARE * height * width
    pixels = None if lesion is None else int(np.count_nonzero(lesion))
    return Measures(width, height, tinted, colored > _COLOR_PIXELS and not tinted, has_marks_in(brightest), pixels)


def by_column(measures: Iterable[Measures | None]) -> dict[str, list[Any]]:
    """Write measures as a list per column of `COLUMNS`, for a JSON file; None for an image that could not be read."""
    rows = list(measures)
    return {name: [None if row is None else getattr(row, name) for row in rows] for name in COLUMNS}


def list_measures(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Turn a table of `tabulate_measures` into lists as those of `by_column`."""
    return {name: [None if pd.isna(value) else value for value in table[name].tolist()] for name in COLUMNS}


def tabulate_measures(ids: Iterable[str], columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Make a table of the lists of `by_column`, with the ids as its index; missing values are `pd.NA`."""
    index = pd.Index(list(ids), name="id")
    return pd.DataFrame(
        {name: pd.array(columns[name], dtype=kind) for name, kind in COLUMNS.items()}, index=index
    ).assign(share=lambda table: (table["lesion"] / (table["width"] * table["height"])).astype("Float64"))
