"""The figure of the leak study: test results against validation accuracy, for each handling of the data."""

import math
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from bus_lightning.report.figures.inputs import span, wrapped
from bus_lightning.report.figures.style import (
    BLACK,
    GREY,
    MARKERS,
    PALETTE,
    WIDTH,
    colors_of,
    new_figure,
    panels,
    plain_numbers,
    styled,
)
from bus_lightning.report.sections import FigureItem

_X = "val_accuracy"
_Y = {"test_accuracy": "test accuracy", "test_loss": "test loss"}
_ROOM = 0.03  # between the outermost point and the edge
_STARS = ("*", "X", "p", "P")  # markers of the paper's networks


@styled
def leakage(table: pd.DataFrame, paper: pd.DataFrame, majority: float) -> FigureItem | None:
    """Draw test accuracy and test loss against validation accuracy: colour by handling, marker by split.

    Args:
        table: A row per run: `handling`, `split`, `val_accuracy`, `test_accuracy` ([0, 1]), `test_loss` (nats); rows
            with a gap are left out.
        paper: Published values, at most four rows: `model`, `val_accuracy`, `test_accuracy`, `test_loss`.
        majority: Accuracy of always predicting the most frequent class.

    Returns:
        The figure; None if no row is complete.
    """
    runs = table.dropna(subset=["handling", "split", _X, *_Y])
    if runs.empty:
        return None
    handlings, splits = list(dict.fromkeys(runs["handling"])), list(dict.fromkeys(runs["split"]))
    colors, markers = colors_of(handlings), dict(zip(splits, MARKERS, strict=False))
    # There are six colours: the markers of the second six handlings are white inside.
    fills = {name: "white" if (n // len(PALETTE)) % 2 else colors[name] for n, name in enumerate(handlings)}
    means = runs.groupby(["handling", "split"], sort=False)[[_X, *_Y]].mean().reset_index()
    stars = paper.assign(marker=_STARS[: len(paper)])

    figure = new_figure(WIDTH, 8.0)
    axes = [row[0] for row in panels(figure, 2, 1, sharex=True)]
    accuracies = [*runs["test_accuracy"], *paper["test_accuracy"], majority]
    axes[0].set(xlim=(min([*runs[_X], *paper[_X]]) - _ROOM, 1 + _ROOM / 2),
                ylim=(min(accuracies) - _ROOM, max(accuracies) + _ROOM))  # fmt: skip
    axes[0].plot([0, 1], [0, 1], ":", color=GREY, linewidth=1, label="_diagonal")
    axes[0].axhline(majority, color=GREY, linestyle="--", linewidth=1, label="_majority")
    axes[1].axhline(math.log(3), color=GREY, linestyle="-.", linewidth=1, label="_ln 3")
    axes[1].set(xlabel="validation accuracy", yscale="log")
    plain_numbers(axes[1].yaxis)
    for panel, (column, title) in zip(axes, _Y.items(), strict=True):
        panel.set_ylabel(title)
        for label, points, size in (("_runs", runs, 3.0), ("_mean", means, 9.0)):
            for (handling, split), rows in points.groupby(["handling", "split"], sort=False):
                style: Any = {"color": colors[handling], "markerfacecolor": fills[handling], "markersize": size}
                panel.plot(rows[_X], rows[column], markers[split], zorder=2 + size / 10, label=label, **style)
        for star in stars.to_dict("records"):
            panel.plot(star[_X], star[column], star["marker"], color=BLACK, markersize=8, zorder=4, label="_paper")
    keys = [
        *(_key(name, "o", color=colors[name], markerfacecolor=fills[name], markersize=8) for name in handlings),
        *(_key(f"split: {split}", marker, color=GREY) for split, marker in markers.items()),
        *(_key(f"the paper: {star['model']}", star["marker"], color=BLACK) for star in stars.to_dict("records")),
        _key(f"most frequent class ({majority:.2f})", linestyle="--", color=GREY),
        _key(f"one third each: ln 3 = {math.log(3):.2f}", linestyle="-.", color=GREY),
        _key("test = validation", linestyle=":", color=GREY),
    ]
    figure.legend(handles=keys, loc="outside right center", labelspacing=0.6)

    seeds = span(runs.groupby(["handling", "split"]).size().tolist())
    caption = (
        f"Validation and test results, n = {len(runs)} runs, {seeds} for each handling and split. Small points: runs; "
        "large points: their means. On the dotted line both accuracies are the same; a loss above ln 3 is worse than a "
        "probability of one third for each class."
    )
    alt = " ".join(
        f"{row.handling}, {row.split}: validation {row.val_accuracy:.2f}, test {row.test_accuracy:.2f}, "
        f"loss {row.test_loss:.2f}."
        for row in means.itertuples()
    )
    return FigureItem("leakage", caption, figure, alt)


def _key(label: str, marker: str = "", linestyle: Any = "", **style: Any) -> Line2D:
    return Line2D([], [], marker=marker, linestyle=linestyle, label=wrapped(label, 28), **style)
