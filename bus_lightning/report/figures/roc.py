"""ROC curves with their bands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.metrics.columns import Bools, Floats, classes_of, probabilities_of
from bus_lightning.metrics.ranking import auroc
from bus_lightning.report.figures.curves import band, rate_at, roc_curve
from bus_lightning.report.figures.inputs import images_in, pages, wrapped
from bus_lightning.report.figures.style import GREY, WIDTH, colors_of, new_figure, panels, styled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import in_draws, percentile_interval
from bus_lightning.statistics.parallel import call_in_parallel

GRID = np.linspace(0, 1, 201)
_BAND_DRAWS = 400  # enough for a band to look at; the intervals of the areas take all
_MACRO = "macro mean of the classes"
_TUMOURS = "malignant against benign"


@dataclass
class Roc:
    """A ROC curve, averaged over replicates at fixed false positive rates, with its 95% intervals.

    Attributes:
        rates: True positive rate at `GRID`, its low and its high end, (3, G).
        auc: Area, its low and its high end, (3,).
        n: Images of the class and of the rest, per replicate.
    """

    rates: Floats
    auc: Floats
    n: tuple[int, int]


@styled
def roc(conditions: list[Condition], part: str, draws: int = 2000) -> list[FigureItem]:
    """Draw one-against-rest ROC curves: a panel per class, their macro mean, and malignant against benign alone.

    Args:
        conditions: Any.
        part: ``"val"`` or ``"test"``.
        draws: Draws of the bootstrap over groups, for the bands and the intervals of the areas.
    """
    items = []
    for suffix, page in pages(conditions, "classification", part):
        results = call_in_parallel(
            roc_curves, [(cases, draws) for cases in page.values()], sum(map(len, page.values()))
        )
        curves = dict(zip(page, results, strict=True))
        if any(curves.values()):
            items.append(_figure(page, curves, part, f"roc_{part}{suffix}"))
    return items


def roc_curves(cases: pd.DataFrame, draws: int) -> dict[str, Roc]:
    """Compute the ROC curves of a model.

    Args:
        cases: Columns `replicate`, `group`, `label` and `prob_<class>`.
        draws: Draws of the bootstrap.

    Returns:
        Panel -> curve; a panel is missing if one of its two sides has no image, the macro mean if a class has none.
    """
    classes = classes_of(cases)
    label = cases["label"].to_numpy()
    scores = dict(zip(classes, probabilities_of(cases).T, strict=True))
    everyone = np.ones(len(cases), bool)
    # Panel -> which images are positive, their scores, which images count.
    questions = {f"{name} against rest": (label == name, scores[name], everyone) for name in classes}
    if {MALIGNANT, BENIGN} <= set(classes) and len(classes) > 2:
        both = scores[MALIGNANT] + scores[BENIGN]
        share = np.divide(scores[MALIGNANT], both, out=np.full(len(cases), 0.5), where=both > 0)
        questions[_TUMOURS] = (label == MALIGNANT, share, np.isin(label, [MALIGNANT, BENIGN]))
    replicates = [(cases["replicate"] == each).to_numpy() for each in cases["replicate"].unique()]
    rates, areas, counts = {}, {}, {}
    for panel, (truth, score, counted) in questions.items():
        parts = [replicate & counted for replicate in replicates]
        if not all(0 < truth[part].sum() < part.sum() for part in parts):
            continue
        rates_in, areas_in = (partial(_mean_of_parts, each, truth, score, parts) for each in (_rates_at_grid, auroc))
        rates[panel] = in_draws(cases, draws, rates_in, np.float64, only=1 + _BAND_DRAWS)
        areas[panel] = in_draws(cases, draws, areas_in, np.float64)
        ids = cases["id"][counted]
        counts[panel] = (ids[truth[counted]].nunique(), ids[~truth[counted]].nunique())
    one_against_rest = [panel for panel in rates if panel != _TUMOURS]
    if len(one_against_rest) == len(classes) > 2:
        rates[_MACRO] = np.mean([rates[panel] for panel in one_against_rest], axis=0)
        areas[_MACRO] = np.mean([areas[panel] for panel in one_against_rest], axis=0)
        counts[_MACRO] = (cases["id"].nunique(), 0)
    return {panel: _with_intervals(rates[panel], areas[panel], counts[panel]) for panel in rates}


def _mean_of_parts(
    compute: Callable[[Bools, Floats, Floats], Floats],
    truth: Bools,
    score: Floats,
    parts: Sequence[Bools],
    weights: Floats,
) -> Floats:
    return np.asarray(np.mean([compute(truth[part], score[part], weights[:, part]) for part in parts], axis=0))


def _rates_at_grid(truth: Bools, score: Floats, weights: Floats) -> Floats:
    return rate_at(*roc_curve(truth, score, weights), GRID)


def _with_intervals(rates: Floats, areas: Floats, counts: tuple[int, int]) -> Roc:
    return Roc(np.stack([rates[0], *band(rates[1:])]), np.array([areas[0], *percentile_interval(areas[1:])]), counts)


def _figure(page: dict[str, pd.DataFrame], curves: dict[str, dict[str, Roc]], part: str, slug: str) -> FigureItem:
    titles = list(dict.fromkeys(title for by_title in curves.values() for title in by_title))
    titles.sort(key=lambda title: (title == _TUMOURS, title == _MACRO))
    columns = 2 if len(titles) > 1 else 1
    rows = -(-len(titles) // columns)
    figure = new_figure(WIDTH if columns == 2 else 4.5, 0.4 + 3.0 * rows)
    axes = [panel for row in panels(figure, rows, columns) for panel in row]
    colors = colors_of(list(page))
    alt = []
    for axis, title in zip(axes, titles, strict=False):
        axis.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
        for name, by_title in curves.items():
            if title not in by_title:
                continue
            rates, low, high = by_title[title].rates
            area, *ends = by_title[title].auc
            text = f"{area:.2f}" + ("" if np.isnan(ends).any() else " ({:.2f}\N{EN DASH}{:.2f})".format(*ends))
            axis.fill_between(GRID, low, high, color=colors[name], alpha=0.1, linewidth=0)
            axis.plot(np.append(0, GRID), np.append(0, rates), color=colors[name], label=text)
            alt.append(f"{title}, {name}: AUC {text}.")
        axis.set(xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal", title=_with_n(title, curves),
                 xlabel="false positive rate", ylabel="true positive rate")  # fmt: skip
        axis.legend(loc="lower right", title="AUC (95% interval)", handlelength=1.2, borderaxespad=0.2,
                    frameon=True, edgecolor="none", framealpha=0.7)  # fmt: skip
    keys = [Line2D([], [], color=colors[name], label=wrapped(name, 36)) for name in page]
    if len(axes) > len(titles):
        axes[-1].set_axis_off()
        axes[-1].legend(handles=keys, loc="center left", title="model", alignment="left")
    else:
        figure.legend(handles=keys, loc="outside lower center", ncols=min(3, len(keys)))
    caption = (
        f"ROC curves, {images_in(part, page)}; in brackets, images of the class : others. Bands: 95% intervals of the "
        "true positive rate at each false positive rate, bootstrap over groups; with several replicates "
        "the curves are their mean. One class against the rest is scored by its probability."
    )
    if _TUMOURS in titles:
        caption += " Malignant against benign has no normal images and is scored by the share of malignant in the two."
    return FigureItem(slug, caption, figure, " ".join(alt))


def _with_n(title: str, curves: dict[str, dict[str, Roc]]) -> str:
    counts = {by_title[title].n for by_title in curves.values() if title in by_title}
    if title == _MACRO or len(counts) > 1:
        return title
    ((positive, negative),) = counts
    return f"{title} ({positive} : {negative})"
