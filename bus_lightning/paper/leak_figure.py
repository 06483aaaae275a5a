"""The figure of the leakage study: what validation promised and what the test kept, for every handling of the label."""

import math

import pandas as pd
from matplotlib.lines import Line2D

from bus_lightning.paper.labels import Label, place_labels
from bus_lightning.report.figures.data import span, wrapped
from bus_lightning.report.figures.style import (
    BLACK,
    GREY,
    MARKERS,
    PALETTE,
    WIDTH,
    colors_of,
    darker,
    new_figure,
    panels,
    plain_numbers,
    styled,
)
from bus_lightning.report.sections import FigureItem

_X = "val_accuracy"
_Y = {"test_accuracy": "test accuracy", "test_loss": "test loss"}
_ROOM = 0.03  # between the outermost point and the edge


@styled
def leakage(table: pd.DataFrame, paper: pd.DataFrame | None = None, majority: float | None = None) -> FigureItem | None:
    """Draw test accuracy and test loss against validation accuracy: colour and number by handling, marker by split.

    Args:
        table: A row per run: `handling`, `split`, `seed`, `val_accuracy`, `test_accuracy` ([0, 1]), `test_loss` (nats);
            rows with a gap are left out.
        paper: Published values, drawn as stars: `model`, `val_accuracy`, `test_accuracy`, `test_loss`; likewise.
        majority: Accuracy of always answering the most frequent class.

    Returns:
        The figure; None where no row is whole.
    """
    if not {"handling", "split", _X, *_Y} <= set(table):
        return None
    runs = table.dropna(subset=["handling", "split", _X, *_Y])
    if not len(runs):
        return None
    stars = paper.dropna(subset=[_X, *_Y]) if paper is not None else pd.DataFrame(columns=["model", _X, *_Y])
    handlings, splits = list(dict.fromkeys(runs["handling"])), list(dict.fromkeys(runs["split"]))
    colors = colors_of(handlings)
    markers = {split: MARKERS[number % len(MARKERS)] for number, split in enumerate(splits)}
    means = runs.groupby(["handling", "split"], sort=False)[[_X, *_Y]].mean().reset_index()

    figure = new_figure(WIDTH, 8.0)
    axes = [row[0] for row in panels(figure, 2, 1, sharex=True)]
    accuracies = [*runs["test_accuracy"], *stars["test_accuracy"], *([] if majority is None else [majority])]
    axes[0].set(xlim=(min([*runs[_X], *stars[_X]]) - _ROOM, 1 + _ROOM / 2),
                ylim=(min(accuracies) - _ROOM, max(accuracies) + _ROOM))  # fmt: skip
    axes[0].plot([0, 1], [0, 1], ":", color=GREY, linewidth=1, label="_diagonal")
    if majority is not None:
        axes[0].axhline(majority, color=GREY, linestyle="--", linewidth=1, label="_majority")
    axes[1].axhline(math.log(3), color=GREY, linestyle="-.", linewidth=1, label="_ln 3")
    axes[1].set(xlabel="validation accuracy", yscale="log")
    plain_numbers(axes[1].yaxis)
    for panel, column in zip(axes, _Y, strict=True):
        for points, size in ((runs, 3.0), (means, 9.0)):
            for (handling, split), these in points.groupby(["handling", "split"], sort=False):
                color = colors[handling]
                panel.plot(these[_X], these[column], markers[split], color=color, markersize=size, linestyle="",
                           markerfacecolor=_fill(color, handlings.index(handling)), zorder=2 + size / 10,
                           label="_mean" if points is means else "_runs")  # fmt: skip
        panel.plot(stars[_X], stars[column], "*", color=BLACK, markersize=9, zorder=4, label="_paper")
        panel.set_ylabel(_Y[column])
    keys = _keys(handlings, colors, markers, len(stars) > 0, majority)
    figure.legend(handles=keys, loc="outside right center", labelspacing=0.6)
    for panel, column in zip(axes, _Y, strict=True):
        place_labels(figure, panel, _labels(means, stars, column, handlings, colors))

    seeds = span(runs.groupby(["handling", "split"]).size().tolist())
    caption = (
        f"What the validation set promised and what the test set kept, n = {len(runs)} runs, {seeds} for each handling "
        "and split. Small points: runs; large ones with the number of the handling: their means. On the dotted line "
        "both accuracies are the same; a loss above ln 3 is worse than answering one third for each class."
    )
    alt = " ".join(
        f"{row.handling}, {row.split}: validation {row.val_accuracy:.2f}, test {row.test_accuracy:.2f}, "
        f"loss {row.test_loss:.2f}."
        for row in means.itertuples()
    )
    return FigureItem("leakage", caption, figure, alt)


def _fill(color: str, number: int) -> str:
    """Leave the markers of the second six handlings white inside: there are six colours."""
    return color if (number // len(PALETTE)) % 2 == 0 else "white"


def _labels(
    means: pd.DataFrame, stars: pd.DataFrame, column: str, handlings: list[str], colors: dict[str, str]
) -> list[Label]:
    numbers = {handling: str(number) for number, handling in enumerate(handlings, 1)}
    labels = [Label(row[_X], row[column], row["model"]) for row in stars.to_dict("records")]
    for row in means.to_dict("records"):
        color = darker(colors[row["handling"]])
        labels.append(Label(row[_X], row[column], numbers[row["handling"]], color))
    return labels


def _keys(
    handlings: list[str], colors: dict[str, str], markers: dict[str, str], paper: bool, majority: float | None
) -> list[Line2D]:
    keys: list[Line2D] = [
        Line2D([], [], color=colors[name], marker="o", linestyle="", markersize=8,
               markerfacecolor=_fill(colors[name], number), label=wrapped(f"{number + 1} {name}", 28))
        for number, name in enumerate(handlings)
    ]  # fmt: skip
    keys += [Line2D([], [], color=GREY, marker=m, linestyle="", label=f"split: {s}") for s, m in markers.items()]
    if paper:
        keys.append(Line2D([], [], color=BLACK, marker="*", linestyle="", markersize=9, label="the paper"))
    if majority is not None:
        keys.append(Line2D([], [], color=GREY, linestyle="--", label=f"most frequent class ({majority:.2f})"))
    keys.append(Line2D([], [], color=GREY, linestyle="-.", label=f"one third each: ln 3 = {math.log(3):.2f}"))
    keys.append(Line2D([], [], color=GREY, linestyle=":", label="test = validation"))
    return keys
