"""Charts and tables of a run's test images, as W&B draws them."""

from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from wandb import Image, Table, plot

from bus_lightning.data.dataset import BusDataset
from bus_lightning.metrics.columns import classes_of, probabilities_of
from bus_lightning.metrics.per_case import Metrics
from bus_lightning.tracking.images import thumbnail
from bus_lightning.training.callbacks.images import evenly

_ROWS, _THUMBNAILS = 10_000, 200  # of the table of cases: W&B shows no more rows, and each thumbnail is a file to send


def curves(cases: pd.DataFrame) -> dict[str, Any]:
    """Make the confusion matrix, and the ROC and precision-recall curves where every class was tested.

    Args:
        cases: A classifier's; probabilities that are no numbers give no chart.
    """
    classes, probabilities = classes_of(cases), probabilities_of(cases)
    if not np.isfinite(probabilities).all():
        return {}
    labels = cases["label"].map(classes.index).tolist()
    answers = probabilities.argmax(axis=1).tolist()
    charts: dict[str, Any] = {
        "test/confusion_matrix": plot.confusion_matrix(
            y_true=labels, preds=answers, class_names=classes, title="Test images: truth and answer"
        )
    }
    if len(set(labels)) == len(classes):  # W&B counts the columns of probabilities by the classes that occur
        rows = probabilities.tolist()
        charts["test/roc"] = plot.roc_curve(labels, rows, labels=classes, title="Test images: ROC")
        title = "Test images: precision and recall"
        charts["test/precision_recall"] = plot.pr_curve(labels, rows, labels=classes, title=title)
    return charts


def metric_table(cfg: DictConfig, metrics: Metrics, intervals: dict[str, tuple[float, float]]) -> Table:
    """List the test metrics with their 95% intervals; the model stands beside, for tables of runs are joined."""
    own = [cfg.model.name, cfg.name]
    rows = [[*own, name, metrics[name], *interval, metrics["n"]] for name, interval in intervals.items()]
    return Table(columns=["model", "run", "metric", "value", "low", "high", "n"], data=rows)


def case_table(cases: pd.DataFrame, dataset: BusDataset, answers: dict[str, bytes], named: bool = True) -> Table:
    """List the cases: a thumbnail, the class, and probabilities, or Dice, IoU, pixels and distances, or all of these.

    Args:
        cases: Of the test images.
        dataset: The test images.
        answers: Id -> PNG of a segmenter's mask, at the image's own resolution; empty for classifiers.
        named: Whether the table shows the ids of the images; otherwise they are numbered.

    Returns:
        At most 10,000 rows, 200 of them, evenly chosen, with a thumbnail.
    """
    cases = cases.drop(columns="split").head(_ROWS)
    if "tp" in cases:
        tp, fp, fn = cases["tp"], cases["fp"], cases["fn"]
        lesion = (tp + fn).where(tp + fn > 0)  # without one, neither is defined
        cases.insert(2, "dice", 2 * tp / (lesion + tp + fp))
        cases.insert(3, "iou", tp / (lesion + fp))
    if classes := classes_of(cases):
        best = probabilities_of(cases).argmax(axis=1)
        cases.insert(2, "answer", np.array(classes)[best])
    positions = {row.id: position for position, row in enumerate(dataset.rows)}
    drawn = set(evenly(len(cases), _THUMBNAILS))
    images = [
        Image(thumbnail(dataset, positions[id_], answers.get(id_)), file_type="jpg") if number in drawn else None
        for number, id_ in enumerate(cases["id"])
    ]
    if not named:
        cases["id"] = [f"image {number + 1}" for number in range(len(cases))]
    rows = cases.astype(object).where(cases.notna(), None).to_numpy().tolist()
    return Table(columns=["image", *cases], data=[[image, *row] for image, row in zip(images, rows, strict=True)])
