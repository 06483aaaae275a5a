"""How much a score varies with the test images, the training and the split."""

from collections.abc import Mapping

import numpy as np

from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.figures.style import BLUE, GREEN, VERMILLION, new_figure, panels, styled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.variance import Spread

_SOURCES = {"images": (BLUE, "o"), "trainings": (VERMILLION, "s"), "splits": (GREEN, "^")}


@styled
def variance_figure(spreads: Mapping[str, Spread], task: str) -> FigureItem | None:
    """Draw the standard deviations of one score by their source, a row per condition.

    Args:
        spreads: Label of a condition -> its spread; those without a second run are left out.
        task: classification or segmentation.

    Returns:
        The figure; None if no condition has several runs.
    """
    known = {name: own for name, own in spreads.items() if own.seed_runs or own.split_sets > 1}
    if not known:
        return None
    labels = [wrapped(name, 34) for name in known]
    height = 0.35 + 0.13 * max(label.count("\n") for label in labels)
    figure = new_figure(6.0, 1.1 + height * len(known))
    ((panel,),) = panels(figure, 1, 1)
    largest, alt = 0.0, []
    for row, (name, own) in enumerate(known.items()):
        values = {"images": (own.images, np.nan, np.nan), "trainings": own.seeds, "splits": own.splits}
        largest = max([largest, *(value for value, _, _ in values.values() if np.isfinite(value))])
        for (source, (value, low, high)), shift in zip(values.items(), (-0.2, 0, 0.2), strict=True):
            color, marker = _SOURCES[source]
            if np.isfinite(value):
                panel.plot([low, high], [row + shift] * 2, color=color, alpha=0.6)
                panel.plot([value], [row + shift], marker, color=color)
                alt.append(f"{name}: {value:.3f} over {source}.")
    handles = [panel.plot([], [], marker, color=color, label=name)[0] for name, (color, marker) in _SOURCES.items()]
    title = title_of(next(iter(known.values())).metric)
    panel.set(xlim=(0, 2 * largest or 1), ylim=(len(known) - 0.5, -0.5), xlabel=f"standard deviation of {title}")
    panel.set_yticks(range(len(known)), labels)
    panel.grid(False, axis="y")
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    caption = (
        f"{task.capitalize()}: standard deviation of {title} on test images, by its source, with the 95% interval of "
        "the normal theory; the axis ends at twice the largest value. Conditions with one run are not drawn."
    )
    return FigureItem(f"variance_{task}_figure", caption, figure, " ".join(alt))
