"""Figures that compare models: values with their intervals, by metric, by class and by the size of the lesion."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bus_lightning.metrics.catalogue import title_of
from bus_lightning.metrics.columns import Floats, answers_of, dice_of, has_lesion
from bus_lightning.report.figures.curves import mean_in
from bus_lightning.report.figures.inputs import images_in, labels_of, pages, span, wrapped
from bus_lightning.report.figures.style import (
    GREY,
    MARKERS,
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
from bus_lightning.statistics.intervals import in_draws, percentile_interval

_COLUMNS = 3
_SIZES = ("small", "medium", "large")


@styled
def forest(
    summaries: Mapping[str, pd.DataFrame], metrics: Sequence[str], baselines: Mapping[str, float] = MappingProxyType({})
) -> FigureItem | None:
    """Draw values with 95% intervals: a row per model, a panel per metric.

    Args:
        summaries: Model -> rows of `summarise`: `metric`, `value`, `low`, `high`, `n`.
        metrics: The metrics to draw; one that no model has is left out.
        baselines: Metric -> value of always predicting the most frequent class, a dashed line.

    Returns:
        The figure; None if no model has any of the metrics.
    """
    rows = {name: table.drop_duplicates("metric").set_index("metric") for name, table in summaries.items()}
    shown = [m for m in metrics if any(m in table.index and pd.notna(table["value"][m]) for table in rows.values())]
    if not shown:
        return None
    labels = [wrapped(name, 28) for name in rows]
    height_of_row = 0.18 + 0.13 * max(label.count("\n") + 1 for label in labels)
    columns = columns_for(len(shown), _COLUMNS)
    figure, axes = tiled(len(shown), columns, WIDTH / columns, 0.75 + height_of_row * len(rows), sharey=True)
    colors = colors_of(list(rows))
    for panel, metric in zip(axes, shown, strict=False):
        for height, (name, table) in enumerate(rows.items()):
            _draw_value(panel, height, table.loc[metric] if metric in table.index else None, colors[name])
        if metric in baselines:
            panel.axvline(baselines[metric], color=GREY, linestyle="--", linewidth=1, label="_majority")
        panel.set_title(wrapped(title_of(metric), 22))
        panel.grid(False, axis="y")
        panel.set_yticks(range(len(rows)), labels)
        panel.set_ylim(len(rows) - 0.5, -0.7)
    counts = [int(n) for table in rows.values() for n in table["n"].reindex(shown).dropna()]
    caption = f"Values and 95% intervals (bootstrap over groups), n = {span(counts or [0])} images."
    if any(metric in baselines for metric in shown):
        caption += " Dashed: always predicting the most frequent class."
    alt = []
    for name, table in rows.items():
        values = [f"{title_of(metric)} {table.at[metric, 'value']:.3f}" for metric in shown if metric in table.index]
        alt.append(f"{name}: {', '.join(values)}.")
    return FigureItem("forest", caption, figure, " ".join(alt))


def _draw_value(panel: Axes, height: int, row: pd.Series | None, color: str) -> None:
    if row is None or pd.isna(row["value"]):
        transform = panel.get_yaxis_transform()
        panel.text(0.5, height, "undefined", transform=transform, ha="center", va="center", color=GREY)
        return
    if pd.notna(row["low"]) and pd.notna(row["high"]):
        panel.plot([row["low"], row["high"]], [height, height], color=color, label="_interval")
    panel.plot([row["value"]], [height], "o", color=color, markersize=5, label="_value")
    panel.annotate(f"{row['value']:.2f}", (row["value"], height), (0, 4), textcoords="offset points", ha="center",
                   fontsize=8)  # fmt: skip


@styled
def by_class_and_size(
    conditions: list[Condition], sizes: Mapping[str, tuple[pd.Series, pd.Series]], part: str, draws: int = 2000
) -> list[FigureItem]:
    """Draw accuracy, or Dice for segmentation, by class and by the size of the lesion, with 95% intervals.

    Args:
        conditions: Any; each task has its own figures.
        sizes: Name of a condition -> two tables of its images: id -> share of the image that is lesion, in [0, 1]; id
            -> long axis of the lesion in mm, only where the size of a pixel is known. Both are 0 or NaN without a
            lesion, and may be missing or empty.
        part: ``"val"`` or ``"test"``.
        draws: Draws of the bootstrap over groups.
    """
    nothing = (pd.Series(dtype=float), pd.Series(dtype=float))
    scales = {"by size of the lesion (share of the image)": (100.0, "%"), "by long axis (mm)": (1.0, "")}
    items = []
    for task, score in (("classification", "recall"), ("segmentation", "Dice")):
        labels = labels_of([condition for condition in conditions if condition.task == task])
        sizes_by_label = {label: sizes[name] for name, label in labels.items() if name in sizes}
        for suffix, page in pages(conditions, task, part):
            titles = {"by class": {name: name for name in _classes(page, task)}}
            members = {"by class": {name: cases["label"].to_numpy() for name, cases in page.items()}}
            for kind, (title, (factor, unit)) in enumerate(scales.items()):
                measured = {
                    label: factor * cases["id"].map(sizes_by_label.get(label, nothing)[kind]).to_numpy(np.float64)
                    for label, cases in page.items()
                }
                if (limits := _terciles(page, measured)) is not None:
                    titles[title] = _size_labels(limits, unit)
                    members[title] = {name: _size_of(own, limits) for name, own in measured.items()}
            figure = new_figure(WIDTH, 3.5)
            (axes,) = panels(figure, 1, len(titles), sharey=True)
            alt = []
            for panel, (title, groups) in zip(axes, titles.items(), strict=True):
                alt += _draw_groups(panel, page, members[title], groups, draws)
                panel.set(title=wrapped(title), ylim=(0, 1.02))
            axes[0].set_ylabel(title_of("dice_image") if task == "segmentation" else "share of correct predictions")
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(page)))
            by_size, terciles = (
                (" and by size of the lesion", " Sizes: terciles of the images with a lesion.")
                if len(titles) > 1
                else ("", "")
            )
            caption = (
                f"{score.capitalize()} by class{by_size}, {images_in(part, page)}; n below each group is its images."
                f"{terciles} Bars: 95% intervals, bootstrap over groups; replicates are pooled."
            )
            if "by long axis (mm)" in titles:
                caption += " Long axis: only images whose pixel size is known."
            items.append(FigureItem(f"by_class_and_size_{task}_{part}{suffix}", caption, figure, " ".join(alt)))
    return items


def _scores_of(cases: pd.DataFrame) -> Floats:
    """Score each case: 1 or 0 for a correct or wrong class, or Dice; NaN for an image without a lesion."""
    if "tp" in cases:
        return np.where(has_lesion(cases), dice_of(cases), np.nan)
    return (answers_of(cases) == cases["label"].to_numpy()).astype(np.float64)


def _classes(page: dict[str, pd.DataFrame], task: str) -> list[str]:
    tables = list(page.values())
    if task == "segmentation":  # an image without a lesion does not count
        tables = [cases[has_lesion(cases)] for cases in tables]
    return sorted({label for cases in tables for label in cases["label"]})


def _terciles(page: dict[str, pd.DataFrame], measured: dict[str, Floats]) -> Floats | None:
    """Divide the images with a lesion, each counted once, into thirds: (2,) limits; None where there are too few."""
    ids = np.concatenate([cases["id"].to_numpy() for cases in page.values()])
    each = pd.Series(np.concatenate(list(measured.values())), index=ids)
    lesions = each[~each.index.duplicated()]
    lesions = lesions[lesions > 0]
    return np.quantile(lesions, [1 / 3, 2 / 3]) if len(lesions) >= len(_SIZES) else None


def _size_of(measured: Floats, limits: Floats) -> np.ndarray:
    names = np.array([*_SIZES, ""])
    return names[np.where(measured > 0, np.searchsorted(limits, measured), len(_SIZES))]


def _size_labels(limits: Floats, unit: str) -> dict[str, str]:
    low, high = (f"{limit:.1f}" for limit in limits)
    ranges = (f"up to\n{low}{unit}", f"{low} to\n{high}{unit}", f"above\n{high}{unit}")  # narrow, for three panels
    return {name: f"{name}\n{text}" for name, text in zip(_SIZES, ranges, strict=True)}


def _span_in_lines(counts: Sequence[int]) -> str:
    """Write the lowest and the highest count so narrow that neighbours do not overlap."""
    return span(counts).replace(" to ", "\nto ")


def _draw_groups(
    panel: Axes, page: dict[str, pd.DataFrame], members: dict[str, np.ndarray], groups: dict[str, str], draws: int
) -> list[str]:
    colors = colors_of(list(page))
    offsets = 0.13 * (np.arange(len(page)) - (len(page) - 1) / 2)
    counts: dict[str, list[int]] = {group: [] for group in groups}
    alt = []
    for (name, cases), offset, marker in zip(page.items(), offsets, MARKERS, strict=False):
        scores = _scores_of(cases)
        places, values = [], []
        for place, group in enumerate(groups):
            inside = (members[name] == group) & ~np.isnan(scores)
            counts[group].append(cases["id"][inside].nunique())
            if not inside.any():
                continue
            drawn = in_draws(cases, draws, partial(mean_in, np.where(inside, scores, np.nan)))
            places.append(place + offset)
            values.append(float(drawn[0]))
            panel.plot([place + offset] * 2, percentile_interval(drawn[1:]), color=colors[name], label="_interval")
            alt.append(f"{name}, {group}: {drawn[0]:.2f}.")
        panel.plot(places, values, marker, color=colors[name], markersize=5, label=wrapped(name, 30))
    panel.set_xticks(
        range(len(groups)), [f"{text}\nn = {_span_in_lines(counts[group])}" for group, text in groups.items()]
    )
    panel.set_xlim(-0.5, len(groups) - 0.5)
    panel.grid(False, axis="x")
    return alt
