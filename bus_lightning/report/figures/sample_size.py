"""Which difference a number of images can show."""

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bus_lightning.report.figures.style import GREY, MARKERS, PALETTE, WIDTH, styled, tiled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.sample_size import DIFFERENCES, smallest_difference

_TICKS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_FEWEST, _MOST = 50, 20_000  # images of the axis, unless those at hand are fewer or more


@styled
def sample_size_figure(errors: Mapping[str, Mapping[str, tuple[float, int]]]) -> list[FigureItem]:
    """Draw the smallest difference with 80% power against the number of images, a panel per task.

    Args:
        errors: Task -> title of a score -> standard error of a difference, and its number of images.
    """
    if not errors:
        return []
    figure, axes = tiled(len(errors), 2, WIDTH / 2 if len(errors) > 1 else 5.0, 3.6)
    alt = []
    for panel, (task, scores) in zip(axes, errors.items(), strict=True):
        keys = []
        for (title, (se, n)), color, marker in zip(scores.items(), PALETTE, MARKERS, strict=False):
            images = np.geomspace(min(_FEWEST, n), max(_MOST, n), 60)
            panel.plot(images, smallest_difference(se) * np.sqrt(n / images), color=color)
            panel.plot([n], [smallest_difference(se)], marker, color=color, markersize=6)
            keys.append(Line2D([], [], color=color, marker=marker, label=title))
            alt.append(f"{task}, {title}: {n} images show a difference of {smallest_difference(se):.3f}.")
        for difference in DIFFERENCES:
            panel.axhline(difference, color=GREY, linestyle="--", linewidth=1)
        panel.set(
            xscale="log", yscale="log", title=task, xlabel="test images", ylabel="smallest difference with 80% power"
        )
        for axis, ticks in ((panel.xaxis, (100, 300, 1000, 3000, 10_000)), (panel.yaxis, _TICKS)):
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.legend(handles=keys, loc="upper right")
    caption = (
        "The smallest true difference that a two-sided test at 5% finds with 80% power, against the number of test "
        "images in groups like these; marks: the images of this report. Between two conditions where conditions were "
        "compared, else of one condition against a fixed value; median standard error. Dashed: 0.02 and 0.05."
    )
    return [FigureItem("sample_size_figure", caption, figure, " ".join(alt))]
