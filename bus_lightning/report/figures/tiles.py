"""Small pictures of images and masks, and the panels that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bus_lightning.core.errors import UserError
from bus_lightning.data.dataset_scale import scale_of
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.mistakes import mirrored, with_mistake
from bus_lightning.data.resizing import resize
from bus_lightning.report.figures.style import SKY, WIDTH, new_figure

POINTS = 8.0  # size of the type on a picture
_LONGEST = 240  # pixels of the longer side
_HIGHEST = 0.9  # height of a panel, in widths: a higher picture is drawn narrower


@dataclass(frozen=True)
class Tile:
    """A small image.

    Attributes:
        image: (h, w, 3) uint8, RGB.
        mask: (h, w) float32 in [0, 1], the share of each pixel that is lesion.
    """

    image: np.ndarray
    mask: np.ndarray


def read_tiles(root: Path, frame: pd.DataFrame, ids: Sequence[str], mistake: str | None = None) -> dict[str, Tile]:
    """Read images and masks and make them small.

    Args:
        root: The data folder.
        frame: Its index, with the columns `id`, `image` and `masks`.
        ids: Ids of the images.
        mistake: The run's `data.mistake`, whose copies may be among them.

    Returns:
        Id -> tile, in the order of the ids; empty if one is not in the index or cannot be read.
    """
    tiles = {}
    try:
        rows = with_mistake(frame, mistake).set_index("id")
        scale = scale_of(root / rows.at[id_, "image"] for id_ in ids if id_ in rows.index)
        for id_ in ids:
            image = read_image(root / rows.at[id_, "image"], scale)
            mask = read_mask(root, rows.at[id_, "masks"], image.shape[:2])
            image, mask = (mirrored(each, rows.at[id_, "flip"]) for each in (image, mask))
            factor = min(1.0, _LONGEST / max(mask.shape))
            shape = max(1, round(mask.shape[0] * factor)), max(1, round(mask.shape[1] * factor))
            tiles[id_] = Tile(resize(image, shape), resize(mask.astype(np.float32), shape))
    except (KeyError, UserError):
        return {}
    return tiles


def grid(
    rows: list[list[Tile]], widths: Sequence[float], titles: int = 0, header: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """Make a figure with empty panels, each row as high as the highest of its tiles.

    Args:
        rows: The tiles of each row.
        widths: Widths of the panels in a row, relative to one with a tile.
        titles: Lines of text above each panel.
        header: Inches for anything else in the figure.

    Returns:
        The figure and its axes, (rows, columns).
    """
    width = WIDTH / sum(widths) - 0.08
    heights = [width * min(_HIGHEST, max(tile.image.shape[0] / tile.image.shape[1] for tile in row)) for row in rows]
    figure = new_figure(WIDTH, sum(heights) + len(rows) * (0.08 + 0.15 * titles) + header)
    axes = figure.subplots(len(rows), len(widths), squeeze=False, height_ratios=heights, width_ratios=widths)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def show(axis: Axes, picture: np.ndarray, outlined: np.ndarray | None = None, title: str = "") -> None:
    """Show a picture at the top of its axes: colours, (h, w, 3) uint8, or a mask, (h, w) in [0, 1].

    Args:
        axis: The axes.
        picture: The picture.
        outlined: Mask in [0, 1] to outline where it is half or more.
        title: Text above the picture.
    """
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set_anchor("N")
    if outlined is not None and outlined.max() > 0.5 > outlined.min():
        axis.contour(outlined, levels=[0.5], colors=[SKY], linewidths=1.2)
    if title:
        axis.set_title(title, fontsize=POINTS, pad=3)


def label(id_: str, limit: int) -> str:
    """Name an image and its folder in so many characters; `benign/benign (1)` does not repeat its folder."""
    name, _, file = id_.partition("/")
    text = f"{name}: {file}" if file and not file.startswith(name) else file or name
    if len(text) <= limit:
        return text
    file = text.rpartition("/")[2]  # of a long name, the file says most
    return file if len(file) <= limit else f"{file[: limit - 1]}…"
