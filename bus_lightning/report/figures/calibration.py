"""Reliability with bins of equally many predictions, and bootstrap intervals over groups."""

import numpy as np
import pandas as pd

from bus_lightning.metrics.classification import BINS
from bus_lightning.metrics.columns import PROBABILITY, Bools, Floats, answers_of, probabilities_of
from bus_lightning.report.figures.inputs import images_in, name_pictured, pages, wrapped
from bus_lightning.report.figures.style import GREY, WIDTH, colors_of, styled, tiled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.calibration import bin_predictions
from bus_lightning.statistics.conditions import Condition


@styled
def adaptive_reliability(
    conditions: list[Condition], part: str, name: str | None, draws: int = 1000
) -> list[FigureItem]:
    """Draw how often a prediction comes true against its probability.

    Args:
        conditions: Any; with a name, those without this class are left out.
        part: ``"val"`` or ``"test"``.
        name: The class whose probability is drawn; None takes the most probable class.
        draws: Draws of the bootstrap over groups.
    """
    own = [condition for condition in conditions if name is None or name in condition.classes]
    items = []
    for suffix, page in pages(own, "classification", part):
        figure, axes = tiled(len(page), 3, WIDTH / 3, 2.8)
        colors = colors_of(list(page))
        alt = []
        for panel, (label, cases) in zip(axes, page.items(), strict=False):
            bins = bin_predictions(cases, *_predictions(cases, name), draws)
            panel.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
            panel.vlines(bins.predicted, bins.low, bins.high, color=colors[label], linewidth=1.2, alpha=0.6)
            panel.plot(bins.predicted, bins.observed, "o-", color=colors[label], markersize=4, linewidth=1)
            panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=wrapped(label, 22),
                      xlabel="confidence" if name is None else f"probability of {name}",
                      ylabel="share correct" if name is None else f"share {name}")  # fmt: skip
            apart = int(((bins.low > bins.predicted) | (bins.high < bins.predicted)).sum())
            alt.append(f"{label}: {apart} of {len(bins.number)} intervals lie off the line.")
        what = "most probable class" if name is None else f"class {name}, against the rest"
        caption = (
            f"Reliability of the probability of the {what}, {images_in(part, page)}, {BINS} bins of equally many "
            "predictions; equal probabilities share a bin. On the dotted line, predictions come true as often as they "
            f"say. Bars: 95% intervals, bootstrap over groups; {name_pictured(own)}, replicates pooled."
        )
        slug = f"reliability_adaptive_{name or 'confidence'}_{part}{suffix}"
        items.append(FigureItem(slug, caption, figure, " ".join(alt)))
    return items


def _predictions(cases: pd.DataFrame, name: str | None) -> tuple[Floats, Bools]:
    """Return the predicted probability of each case, and whether the prediction came true."""
    label = cases["label"].to_numpy()
    if name is None:
        return probabilities_of(cases).max(axis=1), np.asarray(answers_of(cases) == label)
    return cases[f"{PROBABILITY}{name}"].to_numpy("float64"), np.asarray(label == name)
