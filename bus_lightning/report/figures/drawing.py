"""Boxes, arrows and words on a page that is measured in inches, and numbers in few characters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.textpath import TextPath

from bus_lightning.report.figures.style import BLACK, GREY, WIDTH, new_figure

if TYPE_CHECKING:
    from torch import nn

BY = "\N{MULTIPLICATION SIGN}"
_POINTS = 7.2
_HALF = "70"  # opacity of a fill, as the last two digits of its colour

Point = tuple[float, float]


class Page:
    """A figure of the report's full width to draw on, from (0, 0) at its lower left, in inches.

    Args:
        height: Inches.
    """

    def __init__(self, height: float) -> None:
        self.figure = new_figure(WIDTH, height)
        self.figure.set_layout_engine("none")  # nothing to arrange
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set(xlim=(0, WIDTH), ylim=(0, height))

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """Draw a box from its lower left corner."""
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color + _HALF, edgecolor=BLACK, linewidth=0.7))

    def text(self, x: float, y: float, words: str, ha: str = "center", **options: Any) -> None:
        """Write words, with Matplotlib's options."""
        self.axes.text(x, y, words, ha=ha, fontsize=_POINTS, linespacing=1.15, **options)

    def arrow(self, start: Point, end: Point, curve: float = 0.0, dashed: bool = False) -> None:
        """Draw an arrow, bent to its right by a share `curve` of its length."""
        arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=7, shrinkA=0, shrinkB=0, linewidth=0.8)
        arrow.set(color=GREY if dashed else BLACK, linestyle="--" if dashed else "-")
        arrow.set_connectionstyle("arc3", rad=curve)
        self.axes.add_patch(arrow)

    def dot(self, x: float, y: float, hollow: bool) -> None:
        """Draw a dot."""
        fill = "none" if hollow else "full"
        self.axes.plot(x, y, marker="o", markersize=2.6, color=BLACK, fillstyle=fill, markeredgewidth=0.6)


def fit(line: str, width: float, weight: str) -> str:
    """Cut a line off where it is wider than a column, in inches."""
    font, room = FontProperties(weight=weight), 72 * width - 2
    cut = line
    while len(line) > 1 and TextPath((0, 0), cut, _POINTS, prop=font).get_extents().width > room:
        line = line[:-1]
        cut = f"{line}…"
    return cut


def times(numbers: Sequence[int]) -> str:
    """Write a shape, as 64x320x320."""
    return BY.join(map(str, numbers))


def count(number: int) -> str:
    """Write a number of parameters in three digits."""
    if number < 1000:
        return str(number)
    return f"{number / 1e3:.3g} k" if number < 999_500 else f"{number / 1e6:.3g} M"


def kernel(conv: "nn.Conv2d") -> str:
    """Write the size of a convolution's kernel, as 3x3."""
    return times(conv.kernel_size)
