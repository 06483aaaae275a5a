"""Names beside points that lie close together: each goes where it hides the least, with a line back to its point."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from bus_lightning.report.figures.style import BLACK, GREY

_FONT = 8.0
_MARKER = 9.0  # points: the square that a marker covers
_DISTANCES = (10.0, 16.0, 23.0, 31.0, 40.0, 50.0)  # points, from the marker's centre to the label's edge
_ANGLES = np.deg2rad([0, 180, 45, 135, 225, 315, 90, 270, 22, 158, 202, 338])
_OUTSIDE = 1e4


@dataclass
class Label:
    """Name a point of a panel; x and y are in the units of its axes."""

    x: float
    y: float
    text: str
    color: str = BLACK


def place_labels(figure: Figure, panel: Axes, labels: list[Label]) -> None:
    """Write labels beside their points so that they cover neither each other nor a point, as far as there is room.

    Args:
        figure: With everything else that takes room, as its legend.
        panel: With its limits, its scale and its neighbours as they will be.
        labels: One per point.
    """
    figure.draw_without_rendering()  # only now is known where on the page a point lies
    to_points = 72 / figure.dpi
    anchors = panel.transData.transform([(label.x, label.y) for label in labels]) * to_points
    edges = panel.bbox.get_points() * to_points
    taken = [_box(anchor, _MARKER, _MARKER) for anchor in anchors]
    for label, anchor in zip(labels, anchors, strict=True):
        width, height = 0.65 * _FONT * len(label.text) + 2, _FONT + 2
        offset, distance, box = _best_place(anchor, width, height, np.array(taken), edges)
        taken.append(box)
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        note = panel.annotate(
            label.text, (label.x, label.y), (offset[0], offset[1]), textcoords="offset points", ha="center",
            va="center", fontsize=_FONT, fontweight="bold", color=label.color, zorder=5,
            arrowprops=line if distance > _DISTANCES[0] else None,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip
        note.set_in_layout(False)


def _best_place(
    anchor: NDArray[np.float64], width: float, height: float, taken: NDArray[np.float64], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    best = (np.inf, np.zeros(2), 0.0, np.zeros(4))
    for distance in _DISTANCES:
        for angle in _ANGLES:
            direction = np.array([np.cos(angle), np.sin(angle)])
            offset = direction * distance + direction * np.array([width, height]) / 2 * np.array([1.0, 0.5])
            box = _box(anchor + offset, width, height)
            inside = (box[:2] >= edges[0]).all() and (box[2:] <= edges[1]).all()
            cost = _overlap(box, taken) + 0.3 * distance + (0 if inside else _OUTSIDE)
            if cost < best[0]:
                best = (cost, offset, distance, box)
    return best[1:]


def _box(centre: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    half = np.array([width, height]) / 2
    return np.concatenate([centre - half, centre + half])


def _overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Measure how much of others, (N, 4) left, bottom, right, top, a box covers: square points."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(np.prod(sides.clip(0), axis=1).sum())
