"""Evaluate weights on parts of a split: the prediction for each image, and the metrics."""

import math
from typing import Any

import lightning.pytorch as pl
import pandas as pd

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.metrics.per_case import Metrics, metrics_of
from bus_lightning.tasks.base import BusTask


def evaluate_parts(
    trainer: pl.Trainer, task: BusTask, datamodule: BusDataModule, parts: list[str]
) -> tuple[pd.DataFrame, dict[str, Metrics]]:
    """Evaluate the task's weights on parts of the split.

    Returns:
        The cases, with the columns `id,split,label` first, and the metrics of each part.
    """
    datamodule.trainer = trainer  # it holds the limits on the number of batches
    tables, metrics = [], {}
    for part in parts:
        evaluate = trainer.validate if part == "val" else trainer.test
        evaluate(task, datamodule.evaluation_dataloader(part), verbose=False)
        table = task.cases.copy()
        table.insert(1, "split", part)
        tables.append(table)
        metrics[part] = _with_loss(metrics_of(table), task.mean_loss)
    return pd.concat(tables, ignore_index=True), metrics


def metrics_of_nothing(cases: pd.DataFrame) -> Metrics:
    """Return the metrics of a part without images: n is 0 and the rest null."""
    return _with_loss(metrics_of(cases.iloc[:0]), None)


def _with_loss(metrics: Metrics, loss: float | None) -> Metrics:
    return {"n": metrics["n"], "loss": finite(loss)} | metrics


def finite(value: Any) -> float | None:
    """Return a float that JSON knows: a number that is not finite becomes None."""
    return float(value) if value is not None and math.isfinite(value) else None
