"""The figure of strata: a row per stratum, a panel per metric, a mark per condition."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.figures.style import GREY, MARKERS, WIDTH, colors_of, new_figure, panels, styled
from bus_lightning.report.sections import FigureItem

Key = tuple[str, str]


class Point(NamedTuple):
    """A value with its interval; NaN if it is undefined."""

    value: float
    low: float
    high: float


@styled
def strata_forest(
    slug: str,
    caption: str,
    rows: Sequence[Key],
    counts: Mapping[Key, str],
    points: Mapping[str, Mapping[str, Mapping[Key, Point]]],
) -> FigureItem:
    """Draw the scores of strata.

    Args:
        slug: Name of the file.
        caption: The caption.
        rows: Property and stratum, those of a property next to each other.
        counts: Number of images of each.
        points: Metric -> label of a condition, six at most -> stratum -> value.
    """
    places = _places(rows)
    labels = list(next(iter(points.values())))
    spread = 0.09 * (len(labels) - 1)
    offsets = np.linspace(-spread, spread, len(labels)) if len(labels) > 1 else np.zeros(1)
    legend = 0.22 * -(-len(labels) // 2) if len(labels) > 1 else 0
    height_of_row = max(0.27, 0.11 * len(labels))
    figure = new_figure(WIDTH, 0.75 + height_of_row * (max(places.values()) + 1) + legend)
    (axes,) = panels(figure, 1, len(points), sharey=True)
    alt = []
    for panel, (metric, by_label) in zip(axes, points.items(), strict=True):
        _draw(panel, places, by_label, offsets)
        panel.set_title(title_of(metric))
        for label, own in by_label.items():
            alt += [f"{label}, {title_of(metric)}, {factor}: {name}: {own[factor, name].value:.2f}."
                    for factor, name in rows if (factor, name) in own]  # fmt: skip
    heads = {factor: min(place for key, place in places.items() if key[0] == factor) for factor, _ in rows}
    ticks = {places[key]: f"{wrapped(key[1], 26)}\nn = {counts[key]}" for key in rows}
    axes[0].set_yticks(list(ticks), list(ticks.values()), fontsize=7.5)
    axes[0].set_ylim(max(places.values()) + 0.6, -0.6)
    for factor, place in list(heads.items())[1:]:
        axes[0].annotate(wrapped(factor, 26), (0, place - 0.85), (-6, 0), xycoords=axes[0].get_yaxis_transform(),
                         textcoords="offset points", ha="right", va="center", weight="bold", fontsize=8,
                         annotation_clip=False)  # fmt: skip
    if len(labels) > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return FigureItem(slug, caption, figure, " ".join(alt))


def _places(rows: Sequence[Key]) -> dict[Key, float]:
    """Place the rows, with room for the name of a property above its first."""
    places: dict[Key, float] = {}
    height, before = -1.0, rows[0][0]
    for factor, name in rows:
        height += 1 if factor == before else 1.9
        places[factor, name] = height
        before = factor
    return places


def _draw(
    panel: Axes, places: Mapping[Key, float], by_label: Mapping[str, Mapping[Key, Point]], offsets: np.ndarray
) -> None:
    colors = colors_of(list(by_label))
    for (label, own), offset, marker in zip(by_label.items(), offsets, MARKERS, strict=False):
        known = {places[key] + offset: point for key, point in own.items() if not np.isnan(point.value)}
        for height, point in known.items():
            panel.plot([point.low, point.high], [height, height], color=colors[label], linewidth=1.2, label="_interval")
        panel.plot([point.value for point in known.values()], list(known), marker, color=colors[label], markersize=4.5,
                   label=wrapped(label, 40))  # fmt: skip
    first, top = next(iter(by_label.values())), min(places, key=lambda key: places[key])
    if top in first and not np.isnan(first[top].value):
        panel.axvline(first[top].value, color=GREY, linestyle=":", linewidth=1, label="_all")
    panel.grid(False, axis="y")
