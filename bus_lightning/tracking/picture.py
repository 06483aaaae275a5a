"""A picture of what the ready dashboard's panels show, drawn from runs that were recorded offline."""

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from PIL import Image

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import aside
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.figures.style import (
    BLACK,
    GREY,
    LIGHT,
    ORANGE,
    SKY,
    colors_of,
    new_figure,
    styled,
)
from bus_lightning.statistics.conditions import does
from bus_lightning.tracking.recorded import Recorded, read_run, read_table

log = logging.getLogger(__name__)
_CURVES = {"val/auroc_macro": f"validation: {title_of('auroc_macro')}", "val/loss": "validation: loss",
           "val/dice_image": f"validation: {title_of('dice_image')}"}  # fmt: skip
_METRICS = {metric: title_of(metric) for metric in ("accuracy", "auroc_macro", "dice_image")}
_QUALITY = {"classification": "test/auroc_macro", "segmentation": "test/dice_image"}
_SAMPLES = 6
Runs = dict[str, list[Recorded]]


def save_picture(group: Path, out: Path) -> None:
    """Draw a group of runs, as W&B recorded it offline, into a PNG.

    Args:
        group: Folder of runs, `runs/<group>`.
        out: The PNG.

    Raises:
        UserError: When nothing was recorded offline there.
    """
    folders = [folder for folder in sorted(group.iterdir()) if any(folder.glob("wandb/offline-run-*"))]
    runs = []
    for folder in folders:
        try:
            run = read_run(folder)
        except DamagedError as error:
            log.warning("A run is left out of the picture: %s", error)
            continue
        if run.config.get("model") and "kept_epoch" in run.summary:
            runs.append(run)
    if not runs:
        raise UserError(
            f"{group} has no finished run that W&B recorded offline: train with logger=wandb, WANDB_MODE=offline."
        )
    by_model: Runs = defaultdict(list)
    for run in sorted(runs, key=lambda run: str(run.config["seed"])):
        by_model[run.config["model"]["name"]].append(run)
    figure = _draw({model: by_model[model] for model in sorted(by_model)})
    with aside(out) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


@styled
def _draw(runs: Runs) -> Figure:
    figure = new_figure(height=9.6)
    colors = colors_of(list(runs))
    rows = cast(list[SubFigure], figure.subfigures(5, 1, height_ratios=[2.3, 1.6, 2.0, 1.75, 1.9], hspace=0.03))
    titles = ["Validation, epoch by epoch: mean and range of a model's runs", "Test images: values and 95% intervals",
              "Test images: truth and answer", "Segmentation samples: truth blue, answer orange",
              "Cost against quality, a point per run; colours as above"]  # fmt: skip
    for row, title in zip(rows, titles, strict=True):
        row.suptitle(title, fontsize=9.5, fontweight="bold", x=0.01, ha="left")
    _curves(rows[0], runs, colors)
    _intervals(rows[1], runs, colors)
    _confusions(rows[2], runs)
    _samples(rows[3], runs)
    _costs(rows[4], runs, colors)
    return figure


def _panels(row: SubFigure, columns: int) -> list[Axes]:
    axes: list[Axes] = row.subplots(1, columns, squeeze=False)[0].tolist()
    for panel in axes:
        panel.tick_params(labelsize=7.5, length=3, color=GREY)
        panel.grid(True, color=LIGHT, linewidth=0.6)
    return axes


def _curves(row: SubFigure, runs: Runs, colors: dict[str, str]) -> None:
    for panel, (key, title) in zip(_panels(row, len(_CURVES)), _CURVES.items(), strict=True):
        for model, members in runs.items():
            if key == "val/loss" and _task(members[0]) != "classification":
                continue
            curves: dict[int, list[float]] = defaultdict(list)
            for run in members:
                # What is no number W&B keeps as a text.
                rows = [row for row in run.history if isinstance(row.get(key), int | float)]
                for epoch, value in {row["epoch"]: row[key] for row in rows}.items():
                    curves[epoch].append(value)
            epochs = sorted(curves)
            if epochs:
                panel.plot(epochs, [np.mean(curves[epoch]) for epoch in epochs], color=colors[model], label=model)
                low, high = ([pick(curves[epoch]) for epoch in epochs] for pick in (min, max))
                panel.fill_between(epochs, low, high, color=colors[model], alpha=0.15, linewidth=0)
        panel.set_title(title)
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if panel.lines and key != "val/loss":  # those of the panel beside it
            panel.legend(fontsize=7, handlelength=1.2)


def _intervals(row: SubFigure, runs: Runs, colors: dict[str, str]) -> None:
    every = [run for members in runs.values() for run in members]
    for panel, (metric, title) in zip(_panels(row, len(_METRICS)), _METRICS.items(), strict=True):
        shown = [run for run in every if _is_own(metric, run)]
        for height, run in enumerate(shown):
            color = colors[run.config["model"]["name"]]
            value, low, high = (run.summary.get(f"test/{metric}{end}", np.nan) for end in ("", "_low", "_high"))
            panel.plot([low, high], [height, height], color=color)
            panel.plot([value], [height], "o", color=color, markersize=4)
        repeated = metric == "auroc_macro"  # the same runs as beside it
        panel.set_yticks(range(len(shown)), [""] * len(shown) if repeated else [_label(run) for run in shown])
        panel.set_ylim(len(shown) - 0.5, -0.5)
        panel.grid(False, axis="y")
        panel.set_title(title)


def _confusions(row: SubFigure, runs: Runs) -> None:
    first = [members[0] for members in runs.values() if does(_task(members[0]), "classification")]
    for panel, run in zip(_panels(row, max(1, len(first))), first, strict=False):
        cells = read_table(run, "test/confusion_matrix_table")[1]
        classes = list(dict.fromkeys(actual for actual, _, _ in cells))
        counts = np.array([count for _, _, count in cells]).reshape(len(classes), len(classes))
        panel.imshow(counts / counts.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
        for (truth, answer), count in np.ndenumerate(counts):
            dark = count > 0.5 * counts[truth].sum()
            panel.text(answer, truth, f"{count:.0f}", ha="center", va="center", color="white" if dark else BLACK)
        panel.set_xticks(range(len(classes)), classes, rotation=25, ha="right", rotation_mode="anchor")
        panel.set_yticks(range(len(classes)), classes)
        panel.set_title(_label(run))
        panel.set_xlabel("answer")
        panel.grid(False)


def _samples(row: SubFigure, runs: Runs) -> None:
    segmenters = [members[0] for members in runs.values() if does(_task(members[0]), "segmentation")]
    axes = _panels(row, _SAMPLES)
    shown: list[tuple[Recorded, dict[str, Any], int]] = []
    for run in segmenters:
        found = run.summary["test/images"]
        # Lesions only: an empty image shows little.
        lesions = [number for number, caption in enumerate(found["captions"]) if not caption.startswith("normal")]
        shown += [(run, found, number) for number in lesions[: max(1, _SAMPLES // len(segmenters))]]
    for panel in axes:
        panel.set_axis_off()
    for panel, (run, found, number) in zip(axes, shown, strict=False):
        image = np.asarray(Image.open(run.files[found["filenames"][number]]).convert("RGB"))
        panel.imshow(image)
        for name, color in (("truth", SKY), ("answer", ORANGE)):
            mask = np.asarray(Image.open(run.files[found["all_masks"][number][name]["path"]]))
            if mask.any():
                panel.contour(mask, levels=[0.5], colors=[color], linewidths=1.2)
        caption = found["captions"][number].rpartition("/")[2]
        panel.set_title(f"{run.config['model']['name']}\n{caption}", fontsize=6.5)


def _costs(row: SubFigure, runs: Runs, colors: dict[str, str]) -> None:
    axes = _panels(row, 4)
    places = [(task, key) for task in _QUALITY for key in ("parameters", "seconds")]
    titles = {"parameters": "parameters, millions", "seconds": "seconds of a run"}
    for panel, (task, key) in zip(axes, places, strict=True):
        for model, members in runs.items():
            if does(_task(members[0]), task):
                costs = [run.summary[key] / (1e6 if key == "parameters" else 1) for run in members]
                qualities = [run.summary.get(_QUALITY[task], np.nan) for run in members]
                panel.plot(costs, qualities, "o", color=colors[model], markersize=5)
        if key == "parameters":
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        else:
            panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.margins(x=0.15, y=0.15)
        panel.set_xlabel(titles[key])
        panel.set_ylabel(f"test {title_of(_QUALITY[task].removeprefix('test/'))}")


def _task(run: Recorded) -> str:
    return str(run.config["task"]["name"])


def _is_own(metric: str, run: Recorded) -> bool:
    return f"test/{metric}_low" in run.summary and (metric != "accuracy" or does(_task(run), "classification"))


def _label(run: Recorded) -> str:
    return f"{run.config['model']['name']}, seed {run.config['seed']}"
