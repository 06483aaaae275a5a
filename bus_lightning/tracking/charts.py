"""Charts and tables of a run's test images for W&B."""

from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from wandb import Image, Table, plot

from bus_lightning.data.dataset import BusDataset
from bus_lightning.data.index import pick_evenly
from bus_lightning.metrics.columns import classes_of, dice_of, probabilities_of, ratio
from bus_lightning.metrics.per_case import Metrics
from bus_lightning.tracking.images import thumbnail

_ROWS, _THUMBNAILS = 10_000, 200  # of the table of cases: W&B shows no more rows, and each thumbnail is a file to send


def curves(cases: pd.DataFrame) -> dict[str, Any]:
    """Make the confusion matrix, and the ROC and precision-recall curves if every class occurs.

    Args:
        cases: Cases of a classifier; if probabilities are not finite, there are no charts.
    """
    classes, probabilities = classes_of(cases), probabilities_of(cases)
    if not np.isfinite(probabilities).all():
        return {}
    labels = cases["label"].map(classes.index).tolist()
    predicted = probabilities.argmax(axis=1).tolist()
    charts: dict[str, Any] = {
        "test/confusion_matrix": plot.confusion_matrix(
            y_true=labels, preds=predicted, class_names=classes, title="Test images: confusion matrix"
        )
    }
    if len(set(labels)) == len(classes):  # W&B counts the columns of probabilities by the classes that occur
        rows = probabilities.tolist()
        charts["test/roc"] = plot.roc_curve(labels, rows, labels=classes, title="Test images: ROC")
        title = "Test images: precision and recall"
        charts["test/precision_recall"] = plot.pr_curve(labels, rows, labels=classes, title=title)
    return charts


def metric_table(cfg: DictConfig, metrics: Metrics, intervals: dict[str, tuple[float, float]]) -> Table:
    """List the test metrics with their 95% intervals; each row names the model, because W&B joins tables of runs."""
    names = [cfg.model.name, cfg.name]
    rows = [[*names, metric, metrics[metric], *interval, metrics["n"]] for metric, interval in intervals.items()]
    return Table(columns=["model", "run", "metric", "value", "low", "high", "n"], data=rows)


def case_table(cases: pd.DataFrame, dataset: BusDataset, masks: dict[str, bytes], named: bool = True) -> Table:
    """List the cases: a thumbnail, the class, and probabilities, or Dice, IoU, pixels and distances, or all of these.

    Args:
        cases: Cases of the test images.
        dataset: The test images.
        masks: Id -> PNG of the predicted mask, at the image's own resolution; empty for classifiers.
        named: Whether the table shows the ids of the images; otherwise they are numbered.

    Returns:
        At most 10,000 rows, 200 of them, evenly chosen, with a thumbnail.
    """
    cases = cases.drop(columns="split").head(_ROWS)
    if "tp" in cases:
        lesion, union = cases["tp"] + cases["fn"] > 0, cases["tp"] + cases["fn"] + cases["fp"]
        cases.insert(2, "dice", np.where(lesion, dice_of(cases), np.nan))
        cases.insert(3, "iou", np.where(lesion, ratio(cases["tp"].to_numpy(), union.to_numpy()), np.nan))
    if classes := classes_of(cases):
        cases.insert(2, "answer", np.array(classes)[probabilities_of(cases).argmax(axis=1)])
    positions = {row.id: position for position, row in enumerate(dataset.rows)}
    drawn = set(pick_evenly(len(cases), _THUMBNAILS))
    images = [
        Image(thumbnail(dataset, positions[id_], masks.get(id_)), file_type="jpg") if number in drawn else None
        for number, id_ in enumerate(cases["id"])
    ]
    if not named:
        cases["id"] = [f"image {number + 1}" for number in range(len(cases))]
    rows = cases.astype(object).where(cases.notna(), None).to_numpy().tolist()
    return Table(columns=["image", *cases], data=[[image, *row] for image, row in zip(images, rows, strict=True)])
