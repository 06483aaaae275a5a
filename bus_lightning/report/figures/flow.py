"""The flow diagram: boxes and arrows from the files of a data set to the analysed images."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bus_lightning.report.figures.style import BLACK, BLUE, GREY, WIDTH, styled
from bus_lightning.report.sections import FigureItem

_LINE, _PAD, _GAP = 0.155, 0.13, 0.3  # inches: a line, the margin of a box, the length of an arrow
_CHARACTER = 0.066  # inches, on average
_MAIN, _SIDE = (0.1, 3.7), (4.3, 6.9)  # left and right of the boxes of a step, inches
_ROW = (0.1, 6.9)


@dataclass(frozen=True)
class Step:
    """A box of the diagram, with a box for what leaves the flow before the next step.

    Attributes:
        title: The first line, such as "Images found".
        lines: The lines below it.
        left_out: Lines of the box to the right; empty draws none.
    """

    title: str
    lines: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@styled
def flow_diagram(slug: str, caption: str, steps: Sequence[Step], ends: Sequence[Step]) -> FigureItem:
    """Draw a flow diagram.

    Args:
        slug: Name of the file.
        caption: The caption.
        steps: From top to bottom.
        ends: The boxes next to each other in which the last step ends.
    """
    wide = (_MAIN[1] - _MAIN[0]) - 2 * _PAD
    texts = [_wrapped(step, wide) for step in steps]
    sides = [_fold(step.left_out, _SIDE[1] - _SIDE[0] - 2 * _PAD) for step in steps]
    width = (_ROW[1] - _ROW[0] - 0.2 * (len(ends) - 1)) / max(1, len(ends))
    last = [_wrapped(end, width - 2 * _PAD) for end in ends]
    arrows = [max(_GAP, _height(side) + 0.2) if side else _GAP for side in sides]
    height = sum(map(_height, texts)) + sum(arrows) + max((_height(text) for text in last), default=0) + 0.2
    figure = Figure(figsize=(WIDTH, height))  # every place is given: no layout is needed
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    middle, top = sum(_MAIN) / 2, height - 0.1
    for text, side, arrow in zip(texts, sides, arrows, strict=True):
        bottom = _draw_box(axes, _MAIN, top, text)
        top = bottom - arrow
        if side:
            centre = bottom - arrow / 2
            _draw_box(axes, _SIDE, centre + _height(side) / 2, side, color=GREY)
            _draw_arrow(axes, (middle, centre), (_SIDE[0], centre))
        is_last = text is texts[-1]
        if not is_last or not last:
            _draw_arrow(axes, (middle, bottom), (middle, top))
            continue
        branch = top + min(_GAP, arrow) / 2
        lefts = [_ROW[0] + number * (width + 0.2) for number in range(len(last))]
        centres = [left + width / 2 for left in lefts]
        axes.plot([middle, middle], [bottom, branch], color=BLACK, linewidth=1)
        axes.plot([min(middle, *centres), max(middle, *centres)], [branch, branch], color=BLACK, linewidth=1)
        for left, centre, lines in zip(lefts, centres, last, strict=True):
            _draw_arrow(axes, (centre, branch), (centre, top))
            _draw_box(axes, (left, left + width), top, lines, color=BLUE)
    words = [f"{step.title}: {'; '.join(step.lines)}." for step in (*steps, *ends)]
    out = [f"{step.left_out[0]}: {'; '.join(step.left_out[1:])}." for step in steps if step.left_out]
    return FigureItem(slug, caption, figure, " ".join([*words, *out]))


def _wrapped(step: Step, width: float) -> list[str]:
    return [*_fold((step.title,), width), *_fold(step.lines, width)]


def _fold(lines: Sequence[str], width: float) -> list[str]:
    most = int(width / _CHARACTER)
    return [part for line in lines for part in textwrap.wrap(line, most, subsequent_indent="  ")]


def _height(lines: Sequence[str]) -> float:
    return len(lines) * _LINE + 2 * _PAD - 0.05


def _draw_box(axes: Axes, sides: tuple[float, float], top: float, lines: Sequence[str], color: str = BLACK) -> float:
    """Draw a box with its text, the first line in bold, and return its lower edge."""
    bottom = top - _height(lines)
    frame = FancyBboxPatch(
        (sides[0], bottom), sides[1] - sides[0], top - bottom, boxstyle="round,pad=0,rounding_size=0.05",
        facecolor="white", edgecolor=color, linewidth=1.2,
    )  # fmt: skip
    axes.add_patch(frame)
    for number, line in enumerate(lines):
        axes.text(
            sides[0] + _PAD, top - _PAD - number * _LINE, line, va="top", fontsize=8.5,
            weight="bold" if number == 0 else "normal",
        )  # fmt: skip
    return bottom


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": BLACK, "linewidth": 1, "shrinkA": 0,
                                              "shrinkB": 0})  # fmt: skip
