"""The figure of training sets by test sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from bus_lightning.metrics.catalogue import heading_of
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.figures.style import BLACK, BLUE, GREY, WIDTH, new_figure, panels, styled
from bus_lightning.report.sections import FigureItem

_SHADES = LinearSegmentedColormap.from_list("shades", ["white", BLUE])
_DARK = 0.85  # share of the range of shades above which white text stands out more than black
_LONGEST = 60  # characters of a name
_CELL, _NAMES = 0.95, 0.95  # inches: the narrowest cell that holds an interval, and the names of the rows


@dataclass(frozen=True)
class Shown:
    """A cell of the figure.

    Attributes:
        lines: Its text: the value, then smaller lines.
        value: What the shade shows; NaN for an empty cell.
        is_own: Whether it has a frame, as images of a training set.
    """

    lines: tuple[str, ...]
    value: float = float("nan")
    is_own: bool = False


def shortened(name: str) -> str:
    """Shorten the name of a data set, which may be that of any folder, so that it leaves room for the cells."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."


@styled
def heat_map(
    slug: str,
    caption: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[str, Mapping[tuple[int, int], Shown]],
    chance: Mapping[str, float],
) -> FigureItem:
    """Draw a panel per metric: training sets in rows, test sets in columns, the value in its cell.

    Args:
        slug: Name of the file.
        caption: The caption.
        rows: Training sets.
        columns: Test sets.
        cells: Metric -> (row, column) -> what the cell shows.
        chance: Metric -> its value for a guess, the lightest shade; 0 if missing.
    """
    side_by_side = _NAMES + len(cells) * len(columns) * _CELL <= WIDTH
    grid = (1, len(cells)) if side_by_side else (len(cells), 1)
    width = min(WIDTH, max(3.2, _NAMES + grid[1] * len(columns) * 1.1))
    names = [wrapped(shortened(name), 18) for name in rows]
    height = grid[0] * (0.85 + max(0.62, *(0.17 * (name.count("\n") + 1) for name in names)) * len(rows))
    figure = new_figure(width, height)
    axes = [panel for row in panels(figure, *grid, grid=False) for panel in row]
    alt = []
    for number, (panel, (metric, shown)) in enumerate(zip(axes, cells.items(), strict=True)):
        _draw(panel, (len(rows), len(columns)), shown, chance.get(metric, 0.0))
        panel.set_title(heading_of(metric))
        panel.set_xticks(range(len(columns)), [wrapped(shortened(name), 16) for name in columns])
        has_names = not side_by_side or number == 0
        panel.set_yticks(range(len(rows)), names if has_names else [""] * len(names))
        panel.set_xlabel("tested on")
        if has_names:
            panel.set_ylabel("trained on")
        alt += [
            f"{heading_of(metric)}, trained on {rows[row]}, tested on {columns[column]}: {', '.join(cell.lines)}."
            for (row, column), cell in shown.items()
        ]
    return FigureItem(slug, caption, figure, " ".join(alt))


def _draw(panel: Axes, shape: tuple[int, int], shown: Mapping[tuple[int, int], Shown], chance: float) -> None:
    values = np.full(shape, np.nan)
    for position, cell in shown.items():
        values[position] = cell.value
    shades = np.clip((values - chance) / (1 - chance), 0, 1)
    panel.imshow(shades, cmap=_SHADES, vmin=0, vmax=1, aspect="auto")
    for (row, column), cell in shown.items():
        is_empty = np.isnan(shades[row, column])
        color = GREY if is_empty else "white" if shades[row, column] > _DARK else BLACK
        for line, text in enumerate(cell.lines):
            is_value = line == 0 and not is_empty
            offset = (10 if len(cell.lines) > 2 else 5 if len(cell.lines) > 1 else 0) - 11 * line
            panel.annotate(
                text, (column, row), (0, offset), textcoords="offset points", ha="center", va="center", color=color,
                fontsize=9.5 if is_value else 7.5, weight="bold" if is_value else "normal",
            )  # fmt: skip
        if cell.is_own:
            panel.add_patch(
                Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, fill=False, edgecolor=BLACK, linewidth=1.2)
            )
    panel.set_xticks(np.arange(shape[1] + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(shape[0] + 1) - 0.5, minor=True)
    panel.grid(True, which="minor", color="white", linewidth=1.5)
    panel.tick_params(which="both", length=0)
