"""The look of every figure of a report: colours that colour-blind readers can distinguish, legible text."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from zlib import crc32

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

# Okabe and Ito, "Color Universal Design", 2008. Yellow is not in the palette: it cannot be seen on white.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, YELLOW = "#CC79A7", "#E69F00", "#56B4E9", "#F0E442"
BLACK, GREY, LIGHT = "#000000", "#767676", "#DDDDDD"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH = 7.0  # inches: the full width of a page

_FIXED = {
    "deepcardinal50": VERMILLION, "resnet50": GREEN, "resnet34_pretrained": BLUE, "resnet34": SKY, "alexnet": ORANGE,
    "efficientnet_lite0": PURPLE, "u2net_lite": VERMILLION, "u2net": BLUE, "unet": GREEN,
}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # Matplotlib finds the same place itself, but slowly: it looks for what a title may overlap
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "lines.linewidth": 1.5,
    "text.parse_math": False,  # a dollar in a name is a dollar
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def styled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Make a function draw in the style of the reports, without changing the caller's style."""

    @wraps(function)
    def inside(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with mpl.rc_context(_STYLE):
            return function(*args, **kwargs)

    return inside


class _ArrangedFigure(Figure):
    """A figure that is arranged without being drawn.

    Before it saves a figure, Matplotlib draws all of it with a renderer that does nothing, only to arrange it
    (`FigureCanvasBase.print_figure`, `RendererBase._draw_disabled`); this takes as long as the drawing.
    """

    def draw(self, renderer: Any) -> None:
        """Draw the figure; with a renderer whose methods do nothing, arrange it only."""
        engine = self.get_layout_engine()
        if hasattr(renderer.draw_path, "__wrapped__") and engine is not None:  # replaced by nothing
            if self.axes:
                engine.execute(self)
            return
        super().draw(renderer)


def new_figure(width: float = WIDTH, height: float = 4.0) -> Figure:
    """Make an empty figure of a size in inches, outside pyplot's global state."""
    return _ArrangedFigure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, rows: int, columns: int, grid: bool = True, **options: Any) -> list[list[Axes]]:
    """Divide a figure into panels in the style of the reports, row by row; options are those of `Figure.subplots`."""
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for panel in axes.flat:
        # Not in the style: ticks are made when the figure is drawn, and the style is no longer set then.
        panel.tick_params(labelsize=8, length=3, color=GREY)
        if grid:
            panel.grid(True, color=LIGHT, linewidth=0.6)
    return [list(row) for row in axes]


def columns_for(count: int, most: int) -> int:
    """Choose the columns, at most so many, in which panels need the fewest rows and leave the fewest gaps: 2 for 4."""
    rows = -(-count // most)
    return -(-count // rows)


def tiled(count: int, most: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure of so many panels of a width and height in inches, in rows of at most so many."""
    columns = columns_for(count, most)
    rows = -(-count // columns)
    figure = new_figure(max(3.2, width * columns), height * rows)
    axes = [panel for row in panels(figure, rows, columns, **options) for panel in row]
    for panel in axes[count:]:
        panel.set_axis_off()
    return figure, axes


def plain_numbers(axis: Any) -> None:
    """Label a logarithmic axis with 0.5, 1, 2 instead of powers of ten."""
    formatter = ScalarFormatter()
    formatter.set_scientific(False)
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(formatter)
    axis.axes.tick_params(which="minor", labelsize=8, length=2, color=GREY)


def color_of(name: str) -> str:
    """Choose the colour of a name, always the same one."""
    return _FIXED.get(name, PALETTE[crc32(name.encode()) % len(PALETTE)])


def darker(color: str) -> str:
    """Darken a colour for words on white."""
    red, green, blue = to_rgb(color)
    return to_hex((0.7 * red, 0.7 * green, 0.7 * blue))


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """Choose the colours of names that are drawn together.

    Each six names, counted from the first, get six different colours: that of `color_of` if it is free.
    """
    colors: dict[str, str] = {}
    for start in range(0, len(names), len(PALETTE)):
        six = list(names[start : start + len(PALETTE)])
        taken: dict[str, str] = {}
        for name in sorted(six, key=lambda name: name not in _FIXED):  # stable: well-known names choose first
            free = [color for color in (color_of(name), *PALETTE) if color not in taken.values()]
            taken[name] = free[0]
        colors |= {name: taken[name] for name in six}
    return colors
