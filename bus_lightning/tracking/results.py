"""Send the results of a run to W&B: the numbers of the kept epoch, charts, tables, the kept checkpoint."""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig

from bus_lightning.config.identity import identity
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError
from bus_lightning.core.folders_in_texts import without_folders
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.splits import load_split
from bus_lightning.metrics.catalogue import EPOCH, shown_in
from bus_lightning.metrics.columns import COUNTS
from bus_lightning.metrics.per_case import Metrics
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.intervals import percentile_interval
from bus_lightning.statistics.summary import draws_of
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.tracking.images import pictures
from bus_lightning.tracking.links import link_to_report
from bus_lightning.tracking.privacy import may_name_images

log = logging.getLogger(__name__)
_STATUS = ("parameters", "latency_ms", "images_per_second", "data_fraction", "epochs", "score")
_HARDWARE = ("device", "precision", "channels_last", "on_device")


def send_results(
    loggers: Sequence[Logger],
    run: RunDir,
    task: BusTask,
    datamodule: BusDataModule,
    cases: pd.DataFrame,
    metrics: dict[str, Metrics],
) -> None:
    """Send the results of a run to W&B, if it is logged there; an error becomes one line in the log.

    Args:
        loggers: Loggers of the run.
        run: The run's folder, complete except for metrics.json.
        task: The task with the kept weights, attached to a trainer.
        datamodule: The data of the run.
        cases: Cases of the parts that were evaluated.
        metrics: Metrics of the same parts.
    """
    for logger in loggers:
        try:
            if isinstance(logger, WandbLogger) and not logger.experiment.disabled:
                _send(logger.experiment, run, task, datamodule, cases, metrics)
        except Exception as error:  # a finished training does not fail because of W&B
            log.warning("%s: not all results went to W&B: %s: %s", run.path, type(error).__name__, error)


def _send(
    wandb_run: Any, run: RunDir, task: BusTask, datamodule: BusDataModule, cases: pd.DataFrame, metrics: dict[str, Any]
) -> None:
    from bus_lightning.tracking import charts

    cfg, status = load_config(run.config), run.status
    named = may_name_images(cfg)
    tested = cases[cases["split"] == "test"]
    summary, intervals = _kept_epoch(run, cfg), _intervals(tested, run)
    for part, values in metrics.items():
        summary |= {f"{part}/{name}": value for name, value in values.items() if isinstance(value, int | float)}
    for name, (low, high) in intervals.items():
        summary |= {f"test/{name}_low": low, f"test/{name}_high": high}
    for kind, pairs in load_split(run.split).divided.items():
        summary |= {f"split/{kind} in {pair}": number for pair, number in pairs.items()}
    summary |= {key: status[key] for key in _STATUS if status.get(key) is not None}
    summary["report"] = link_to_report(wandb_run, str(cfg.group))
    with _staging_in(Path(wandb_run.dir).parents[1]):
        # The numbers come first, in case a picture fails. The extra row flushes that of the last epoch, which would
        # overwrite the summary.
        wandb_run.log({"epoch": summary["epoch"]}, step=status["epochs"])
        wandb_run.config.update({"hardware": {key: status.get(key) for key in _HARDWARE}}, allow_val_change=True)
        wandb_run.summary.update(summary)
        _log_checkpoint(wandb_run, run, cfg, summary)
        panels: dict[str, Any] = {"test/metrics": charts.metric_table(cfg, metrics["test"], intervals)}
        masks: dict[str, bytes] = {}
        if isinstance(task, SegmentationTask):
            masks = task.predicted_masks
            panels["test/images"] = pictures(task, datamodule.parts["test"], datamodule.collate, 8, named)
        if isinstance(task, ClassificationTask):
            panels |= charts.curves(tested)
        panels["test/cases"] = charts.case_table(tested, datamodule.parts["test"], masks, named)
        wandb_run.log(panels, step=status["epochs"])


def _kept_epoch(run: RunDir, cfg: DictConfig) -> dict[str, Any]:
    """Return the row of the kept epoch from the history."""
    history = run.read_history()
    if history is None:
        raise DamagedError(run.history, "it is missing")
    kept = run.kept_epoch(cfg.task.monitor, cfg.task.mode)
    row: dict[str, Any] = history[history["epoch"] == kept].iloc[0].dropna().to_dict()
    return row | {"epoch": int(row["epoch"]), "kept_epoch": int(row["epoch"])}


def _intervals(cases: pd.DataFrame, run: RunDir) -> dict[str, tuple[float, float]]:
    """Compute 95% intervals of the metrics that each epoch logs, by the bootstrap of the report."""
    groups = load_split(run.split).groups
    draws = draws_of(cases.assign(replicate=0, group=cases["id"].map(groups)))
    names = [name for name in shown_in(EPOCH) if name in draws and name not in COUNTS]
    intervals = {name: percentile_interval(draws[name]) for name in names}
    return {name: interval for name, interval in intervals.items() if math.isfinite(sum(interval))}


def _log_checkpoint(wandb_run: Any, run: RunDir, cfg: DictConfig, summary: dict[str, Any]) -> None:
    """Log the kept checkpoint as an artifact, with its score, its epoch and the config that decides its numbers.

    W&B gets a hard link, which takes no space and stays when a longer training replaces best.ckpt.
    """
    from wandb import Artifact

    metadata = {key: summary.get(key) for key in ("score", "kept_epoch", "parameters")}
    metadata |= {"monitor": cfg.task.monitor, "run": cfg.name, "group": cfg.group, "identity": identity(cfg)}
    artifact = Artifact(f"model-{wandb_run.id}", type="model", metadata=without_folders(metadata))
    link = Path(wandb_run.dir).parent / "best.ckpt"
    try:
        os.link(run.best, link)
        artifact.add_file(str(link), policy="immutable", skip_cache=True)
    except OSError:  # a file system without hard links
        artifact.add_file(str(run.best), skip_cache=True)
    wandb_run.log_artifact(artifact, aliases=["best", "latest"])


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Let W&B stage and cache the files of artifacts in a folder while the block runs, not in the user's home."""
    folders = {"WANDB_DATA_DIR": str(folder.resolve()), "WANDB_CACHE_DIR": str(folder.resolve() / "cache")}
    missing = {name: value for name, value in folders.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
