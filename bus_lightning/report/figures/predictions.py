"""Figures of what the classifiers predicted: confusion matrices, reliability, decision curves."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.metrics.classification import BINS
from bus_lightning.metrics.columns import PROBABILITY, Floats, answers_of, classes_of, probabilities_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.figures.curves import band, net_benefit
from bus_lightning.report.figures.inputs import images_in, pages, wrapped
from bus_lightning.report.figures.style import (
    BLUE,
    GREY,
    WIDTH,
    colors_of,
    columns_for,
    new_figure,
    panels,
    styled,
    tiled,
)
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import in_draws, wilson

THRESHOLDS = np.round(np.arange(0.01, 0.601, 0.01), 2)
_SHADES = LinearSegmentedColormap.from_list("shades", ["white", BLUE])


@styled
def confusion(conditions: list[Condition], part: str) -> list[FigureItem]:
    """Draw confusion matrices, the ground truth in rows: counts and percentages of the row."""
    items = []
    for suffix, page in pages(conditions, "classification", part):
        figure, axes = tiled(len(page), 3, WIDTH / 3, 2.5, grid=False)
        alt = []
        for panel, (name, cases) in zip(axes, page.items(), strict=False):
            counts = _confusion_counts(cases)
            _draw_confusion(panel, counts)
            panel.set_title(wrapped(name, 20))
            alt.append(f"{name}: {np.trace(counts)} of {len(cases)} predictions correct.")
        caption = (
            f"Confusion matrices, {images_in(part, page)}, the ground truth in rows, the prediction (the most probable "
            "class) in columns: counts, and per cent of the row."
        )
        if any(cases["replicate"].nunique() > 1 for cases in page.values()):
            caption += " The replicates are pooled: each image counts once in each."
        items.append(FigureItem(f"confusion_{part}{suffix}", caption, figure, " ".join(alt)))
    return items


def _confusion_counts(cases: pd.DataFrame) -> pd.DataFrame:
    classes = classes_of(cases)
    counts = pd.crosstab(cases["label"].to_numpy(), answers_of(cases))
    return counts.reindex(index=classes, columns=classes, fill_value=0)


def _draw_confusion(panel: Axes, counts: pd.DataFrame) -> None:
    values = counts.to_numpy()
    totals = values.sum(axis=1, keepdims=True)
    shares = values / totals.clip(1)
    panel.imshow(shares, cmap=_SHADES, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(values):
        percent = f"\n{100 * shares[row, column]:.0f}%" if totals[row, 0] else ""
        color = "white" if shares[row, column] > 0.6 else "black"
        panel.text(column, row, f"{count}{percent}", ha="center", va="center", color=color, fontsize=8.5)
    ticks = range(len(counts))
    panel.set_xticks(ticks, counts.columns, rotation=25)
    panel.set_yticks(ticks, [f"{name}\nn = {total}" for name, total in zip(counts.index, totals[:, 0], strict=True)])
    panel.tick_params(length=0)
    panel.set(xlabel="prediction", ylabel="ground truth")


@styled
def reliability(conditions: list[Condition], part: str) -> list[FigureItem]:
    """Draw the accuracy at each confidence, and below it the number of predictions.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    items = []
    for suffix, page in pages(conditions, "classification", part):
        columns = columns_for(len(page), 3)
        rows = -(-len(page) // columns)
        figure = new_figure(max(3.2, WIDTH * columns / 3), 3.1 * rows)
        axes = np.array(panels(figure, 2 * rows, columns, sharex=True, height_ratios=[3, 1] * rows))
        upper, lower = axes[::2].ravel(), axes[1::2].ravel()
        colors = colors_of(list(page))
        alt = []
        for panel, below, (name, cases) in zip(upper, lower, page.items(), strict=False):
            error = np.mean(
                [metrics_of(t, ("calibration_error",))["calibration_error"] for _, t in cases.groupby("replicate")]
            )
            _draw_reliability(panel, below, _calibration_bins(cases), colors[name])
            panel.set_title(f"{wrapped(name, 20)}\nECE {error:.3f}")
            alt.append(f"{name}: expected calibration error {error:.3f}.")
        for panel in [*upper[len(page) :], *lower[len(page) :]]:
            panel.set_axis_off()
        caption = (
            f"Reliability of the predicted class's probability, {images_in(part, page)}, {BINS} bins of equal width; "
            "below, the number of predictions in each bin. On the dotted line accuracy and confidence are equal. Bars: "
            "95% intervals (Wilson) with as many cases as the bin has groups. ECE: expected calibration "
            "error, the mean distance from the line, weighted by predictions. Replicates are pooled; their ECE is the "
            "mean."
        )
        items.append(FigureItem(f"reliability_{part}{suffix}", caption, figure, " ".join(alt)))
    return items


def _calibration_bins(cases: pd.DataFrame) -> pd.DataFrame:
    """Bin predictions by confidence: a row per bin that has any, with the 95% interval of its accuracy."""
    table = pd.DataFrame({
        "confidence": probabilities_of(cases).max(axis=1),
        "correct": answers_of(cases) == cases["label"].to_numpy(),
        "group": cases["group"].to_numpy(),
    })  # fmt: skip
    numbers = (table["confidence"] * BINS).astype(int).clip(upper=BINS - 1)
    bins = table.groupby(numbers).agg(
        confidence=("confidence", "mean"), accuracy=("correct", "mean"), predictions=("correct", "size"),
        groups=("group", "nunique"),
    )  # fmt: skip
    intervals = [wilson(round(row.accuracy * row.groups), row.groups) for row in bins.itertuples()]
    bins[["low", "high"]] = intervals
    return bins


def _draw_reliability(panel: Axes, below: Axes, bins: pd.DataFrame, color: str) -> None:
    panel.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
    panel.vlines(bins["confidence"], bins["low"], bins["high"], color=color, linewidth=1, alpha=0.6)
    panel.plot(bins["confidence"], bins["accuracy"], "o-", color=color, markersize=4)
    panel.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share correct")
    below.bar((bins.index + 0.5) / BINS, bins["predictions"], width=0.9 / BINS, color=color)
    below.set(xlabel="confidence", ylabel="predictions")


@styled
def decision_curve(conditions: list[Condition], part: str, draws: int = 1000) -> list[FigureItem]:
    """Draw the net benefit of acting on the probability of malignant, over the threshold for acting.

    Args:
        conditions: Any; those without the class malignant are left out.
        part: ``"val"`` or ``"test"``.
        draws: Draws of the bootstrap over groups, for the bands.

    References:
        Vickers and Elkin, "Decision curve analysis", Medical Decision Making 26 (2006) 565-574.
    """
    own = [condition for condition in conditions if MALIGNANT in condition.classes]
    items = []
    for suffix, page in pages(own, "classification", part):
        figure = new_figure(WIDTH, 4.2)
        ((panel,),) = panels(figure, 1, 1)
        colors = colors_of(list(page))
        prevalences = sorted({round(float((cases["label"] == MALIGNANT).mean()), 3) for cases in page.values()})
        odds = THRESHOLDS / (1 - THRESHOLDS)
        for prevalence in prevalences:
            panel.plot(THRESHOLDS, prevalence - (1 - prevalence) * odds, "--", color=GREY, label="_treat all")
        panel.axhline(0, color="black", linewidth=1, label="_treat none")
        alt = []
        for name, cases in page.items():
            value, low, high = _benefit(cases, draws)
            panel.fill_between(THRESHOLDS, low, high, color=colors[name], alpha=0.07, linewidth=0)
            panel.plot(THRESHOLDS, value, color=colors[name], label=wrapped(name, 30))
            alt.append(f"{name}: net benefit {value[THRESHOLDS == 0.2][0]:.3f} at a threshold of 0.2.")
        top = max(0.05, prevalences[-1]) * 1.1
        panel.set(xlim=(0, 0.6), ylim=(-0.25 * top, top), xlabel="threshold probability of malignant",
                  ylabel="net benefit per image")  # fmt: skip
        policies = [Line2D([], [], color=GREY, linestyle="--", label="treat all"),
                    Line2D([], [], color="black", linewidth=1, label="treat none")]  # fmt: skip
        figure.legend(handles=[*panel.get_legend_handles_labels()[0], *policies], loc="outside lower center", ncols=3)
        caption = (
            f"Decision curves of malignant against the rest, {images_in(part, page)}: true positives minus false "
            "positives times the odds of the threshold, per image. A model is useful where it lies above both treating "
            "all (a line for each share of malignant images) and treating none. Bands: 95% intervals, bootstrap over "
            "groups; replicates are pooled."
        )
        items.append(FigureItem(f"decision_curve_{part}{suffix}", caption, figure, " ".join(alt)))
    return items


def _benefit(cases: pd.DataFrame, draws: int) -> tuple[Floats, Floats, Floats]:
    truth = (cases["label"] == MALIGNANT).to_numpy()
    scores = cases[f"{PROBABILITY}{MALIGNANT}"].to_numpy(np.float64)
    drawn = in_draws(cases, draws, lambda weights: net_benefit(truth, scores, weights, THRESHOLDS), np.float64)
    return drawn[0], *band(drawn[1:])
