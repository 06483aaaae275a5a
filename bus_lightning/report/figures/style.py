"""How every figure of a report looks: colours that the colour-blind can tell apart, words that can be read."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from zlib import crc32

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

# Okabe and Ito, "Color Universal Design", 2008; their yellow is left out: on white it cannot be seen.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
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
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "lines.linewidth": 1.5,
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def styled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a function draw in the style of the reports, and leave the caller's style as it was."""

    @wraps(function)
    def inside(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with mpl.rc_context(_STYLE):
            return function(*args, **kwargs)

    return inside


def new_figure(width: float = WIDTH, height: float = 4.0) -> Figure:
    """Make an empty figure, outside pyplot's global state.

    Args:
        width: Inches.
        height: Inches.
    """
    return Figure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, rows: int, columns: int, grid: bool = True, **options: Any) -> list[list[Axes]]:
    """Divide a figure into panels of the reports' style.

    Args:
        figure: From `new_figure`.
        rows: How many.
        columns: How many.
        grid: Draw grid lines.
        options: Of `Figure.subplots`.

    Returns:
        The axes, row by row.
    """
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for panel in axes.flat:
        # Here and not in the style: ticks are made when the figure is drawn, and the style does not hold any more.
        panel.tick_params(labelsize=8, length=3, color=GREY)
        if grid:
            panel.grid(True, color=LIGHT, linewidth=0.6)
    return [list(row) for row in axes]


def plain_numbers(axis: Any) -> None:
    """Label a logarithmic axis 0.5, 1, 2 and not with powers of ten."""
    formatter = ScalarFormatter()
    formatter.set_scientific(False)
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(formatter)
    axis.axes.tick_params(which="minor", labelsize=8, length=2, color=GREY)


def color_of(name: str) -> str:
    """Choose the colour of a model or another name: always the same one."""
    return _FIXED.get(name, PALETTE[crc32(name.encode()) % len(PALETTE)])


def darker(color: str) -> str:
    """Darken a colour so that words in it can be read on white."""
    red, green, blue = to_rgb(color)
    return to_hex((0.7 * red, 0.7 * green, 0.7 * blue))


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """Choose the colours of names that are drawn together.

    Args:
        names: Any number; of six that follow each other, counted from the first, no two have the same colour.

    Returns:
        Name -> colour: that of `color_of` where no name before it in its six has taken it.
    """
    found: dict[str, str] = {}
    for start in range(0, len(names), len(PALETTE)):
        six = list(names[start : start + len(PALETTE)])
        here: dict[str, str] = {}
        for name in sorted(six, key=lambda name: name not in _FIXED):  # stable: well-known names choose first
            wish = color_of(name)
            free = [color for color in PALETTE if color not in here.values()] or [wish]
            here[name] = wish if wish in free else free[0]
        found |= {name: here[name] for name in six}
    return found
