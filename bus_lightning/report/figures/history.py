"""Figures of the training: accuracy, loss, overlap and pixels over the epochs."""

from contextlib import suppress
from typing import Any, TypeAlias

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from bus_lightning.core.errors import DamagedError
from bus_lightning.report.figures.inputs import labels_of, paged, span, wrapped
from bus_lightning.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    WIDTH,
    colors_of,
    darker,
    new_figure,
    panels,
    styled,
)
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.conditions import Condition

_STAGES: dict[str, Any] = {"train": "--", "val": "-"}
_FEW_RUNS = 5  # up to this number each run has its own thin line
_PIXELS = {"tp": GREEN, "fp": PURPLE, "fn": ORANGE, "tn": BLUE}
# Panel -> its names in history.csv, in order of preference.
_SCORES = {"accuracy": ["accuracy_pooled", "accuracy"], "IoU": ["iou", "iou_pooled"], "loss": ["loss"]}
_OF_PIXELS = [f"{stage}/{name}" for stage in _STAGES for name in (*_PIXELS, "accuracy_pooled", "iou_pooled")]
_PIXEL_PANEL = "share of the pixels (%)"

History: TypeAlias = pd.DataFrame


@styled
def history(conditions: list[Condition]) -> list[FigureItem]:
    """Draw how models were trained: a row per model, train dashed, validation solid, kept epochs marked.

    Args:
        conditions: Of one task; those without a history are left out.
    """
    labels = labels_of(conditions)
    tables = {labels[condition.name]: tables for condition in conditions if (tables := _histories(condition))}
    return [_page(page, f"history_{conditions[0].task}{suffix}") for suffix, page in paged(tables)]


def _histories(condition: Condition) -> list[History]:
    """Read the histories of a condition's runs; `attrs["kept"]` is the epoch whose weights were kept."""
    tables, task = [], condition.config.task
    for run in condition.runs:
        with suppress(DamagedError):  # the report's checks list the damaged file
            if (table := run.read_history()) is None or not len(table):
                continue
            table = _with_old_names(table)
            if condition.task == "classification":  # perhaps of a network that also outlines
                table = table.drop(columns=_OF_PIXELS, errors="ignore")
            else:
                table = _with_ratios(table)
            table.attrs["kept"] = run.kept_epoch(task.monitor, task.mode)
            tables.append(table)
    return tables


def _with_old_names(table: History) -> History:
    """Rename the training shares `train/tp_share` to `train/tp`, the name in older runs; a resumed run has both."""
    for name in _PIXELS:
        if (share := f"train/{name}_share") in table:
            before = table.get(f"train/{name}", table[share])
            table = table.assign(**{f"train/{name}": table[share].fillna(before)}).drop(columns=share)
    return table


def _with_ratios(table: History) -> History:
    """Add accuracy and IoU of the training images, from the shares of pixels that a segmenter's history holds."""
    if not {f"train/{name}" for name in _PIXELS} <= set(table):
        return table
    tp, fp, fn, tn = (table[f"train/{name}"] for name in _PIXELS)
    lesion = tp + fp + fn
    ratios = {"train/accuracy_pooled": (tp + tn) / (lesion + tn), "train/iou": tp.div(lesion).where(lesion > 0)}
    return table.assign(**ratios)


def _page(page: dict[str, list[History]], slug: str) -> FigureItem:
    every_table = [(table, stage) for tables in page.values() for table in tables for stage in _STAGES]
    columns = [panel for panel in _SCORES if any(_column(table, panel, stage) for table, stage in every_table)]
    if any(f"{stage}/tp" in table for table, stage in every_table):
        columns.append(_PIXEL_PANEL)
    figure = new_figure(WIDTH, 1.0 + 1.45 * len(page))
    axes = panels(figure, len(page), len(columns), sharex=True)
    axes[0][0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    colors = colors_of(list(page))
    alt = []
    for row, (name, tables) in zip(axes, page.items(), strict=True):
        kept = [table.attrs["kept"] for table in tables]
        alt.append(f"{name}: kept epoch {span(kept)} of {max(int(table['epoch'].max()) for table in tables) + 1}.")
        for panel, title in zip(row, columns, strict=True):
            if title == _PIXEL_PANEL:
                _draw_pixels(panel, tables)
            else:
                _draw_score(panel, tables, title, colors[name])
            panel.plot(kept, [0] * len(kept), "^", color="black", markersize=6, clip_on=False, zorder=4,
                       transform=panel.get_xaxis_transform(), label="_kept")  # fmt: skip
            if row is axes[0]:
                panel.set_title(title)
            if row is axes[-1]:
                panel.set_xlabel("epoch")
        row[0].set_ylabel(wrapped(name, 18), color=darker(colors[name]), fontweight="bold")
    keys = [
        Line2D([], [], color=GREY, linestyle="--", label="train"),
        Line2D([], [], color=GREY, linestyle="-", label="validation"),
        Line2D([], [], color="black", marker="^", linestyle="", label="kept epoch"),
    ]
    if _PIXEL_PANEL in columns:
        keys += [Line2D([], [], color=color, label=name.upper()) for name, color in _PIXELS.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    runs = span([len(tables) for tables in page.values()])
    thin = f" Thin lines: the runs, if a model has at most {_FEW_RUNS}." if runs != "1" else ""
    caption = (
        f"Training over epochs; runs per model: n = {runs}. Train dashed, validation solid; a thick line is the mean "
        f"of the runs, up to the epoch that half of them reach.{thin} Triangles: the epochs whose weights were kept, "
        "counted from 0."
    )
    if _PIXEL_PANEL in columns:
        caption += " Pixels: those of all images of the epoch, at the size of the network's input."
    return FigureItem(slug, caption, figure, f"{', '.join(columns)} over epochs. {' '.join(alt)}")


def _column(table: History, panel: str, stage: str) -> str | None:
    names = [f"{stage}/{name}" for name in _SCORES[panel]]
    return next((name for name in names if name in table and table[name].notna().any()), None)


def _draw_score(panel: Axes, tables: list[History], title: str, color: str) -> None:
    for stage in _STAGES:
        lines = [table.set_index("epoch")[name] for table in tables if (name := _column(table, title, stage))]
        _draw(panel, lines, stage, color)
    if title != "loss":
        panel.set_ylim(0, 1.02)
    else:
        panel.set_ylim(bottom=0)
    _say_if_empty(panel)


def _draw_pixels(panel: Axes, tables: list[History]) -> None:
    for stage in _STAGES:
        counted = [table.set_index("epoch") for table in tables if f"{stage}/tp" in table]
        for name, color in _PIXELS.items():
            shares = [100 * t[f"{stage}/{name}"] / sum(t[f"{stage}/{each}"] for each in _PIXELS) for t in counted]
            # On a logarithmic axis a share of zero cannot be shown.
            _draw(panel, [share.where(share > 0) for share in shares], stage, color)
    panel.set_yscale("log")
    panel.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    panel.yaxis.set_minor_formatter(NullFormatter())
    _say_if_empty(panel)


def _draw(panel: Axes, lines: list[pd.Series], stage: str, color: str) -> None:
    lines = [line.dropna() for line in lines]
    lines = [line for line in lines if len(line)]
    if not lines:
        return
    together = pd.concat(lines, axis=1)
    if 1 < len(lines) <= _FEW_RUNS:
        for line in lines:
            panel.plot(line.index, line, _STAGES[stage], color=color, linewidth=0.6, alpha=0.45, label=f"_{stage} run")
    mean = together.mean(axis=1)[together.count(axis=1) >= len(lines) / 2]
    single = "." if len(mean) == 1 else ""
    panel.plot(mean.index, mean, _STAGES[stage], marker=single, color=color, label=f"_{stage}")


def _say_if_empty(panel: Axes) -> None:
    if not panel.lines:
        panel.text(0.5, 0.5, "not recorded", transform=panel.transAxes, ha="center", va="center", color=GREY)
