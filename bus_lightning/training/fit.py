"""Fit a run, test its kept checkpoint, and write the results."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build
from bus_lightning.config.limits import at_least_one_batch
from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import UserError
from bus_lightning.core.garbage import collection_paused
from bus_lightning.core.ranks import is_first_process
from bus_lightning.core.workarounds import convert_before_loading
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.models.anatomy import count_weights, trace_layers
from bus_lightning.models.weights import load_kept_weights
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.network import write_network
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.training.building import build_task, build_trainer
from bus_lightning.training.callbacks.checkpoints import MovableCheckpoint, best_checkpoint
from bus_lightning.training.callbacks.chosen import chosen_callbacks
from bus_lightning.training.callbacks.history import History
from bus_lightning.training.callbacks.images import save_sheet
from bus_lightning.training.callbacks.timing import Timing, latency
from bus_lightning.training.evaluated_parts import evaluate_parts, finite, metrics_of_nothing
from bus_lightning.training.hardware import Hardware, choose_hardware
from bus_lightning.training.label_in_input import announce_label_in_input, probe_overlay
from bus_lightning.training.prepared_run import PreparedRun
from bus_lightning.training.tracker import Tracker

log = logging.getLogger(__name__)


def train_and_test(
    prepared: PreparedRun, folder: RunDir, devices: Any, at_end: list[Callable[[int], None]]
) -> float | None:
    """Train, test the kept checkpoint and write the rest of the run's folder.

    Args:
        prepared: The settled config, the images and the split.
        folder: The run's folder, started.
        devices: Lightning's `devices`.
        at_end: Gets the functions that end what records the run elsewhere; they take an exit code.

    Returns:
        Validation score of the kept epoch; None without a validation set.

    Raises:
        UserError: If the network, the weights, the device or an option does not fit, or the training diverges.
    """
    cfg = prepared.config
    announce_label_in_input(cfg.overlay, ["val", "test"])
    begun = folder.last.is_file()
    hardware = choose_hardware(cfg, folder.status if begun else {}, len(prepared.data.frame), devices)
    if cfg.callbacks.get("batch_size") and hardware.device.type == "cpu":
        raise UserError("debug=batch_size fills the memory of a GPU, and this is a CPU: try values of data.batch_size.")
    if cfg.seed is not None:
        pl.seed_everything(cfg.seed, verbose=False)
    is_classifier = cfg.task.name == "classification"
    datamodule = BusDataModule(prepared.data, prepared.split, cfg, not is_classifier, hardware.home_of_images)
    if cfg.data.balance == "oversample" and len(set(datamodule.labels)) == 1:
        log.warning("data.balance=oversample repeats no image: all training images are of one class.")
    probe = probe_overlay(cfg.overlay, datamodule, prepared.split) if is_classifier else {}
    task = build_task(cfg, datamodule, hardware, starts=not begun)
    monitor = cfg.task.monitor if prepared.is_validated else None
    best, timing = best_checkpoint(folder, monitor, cfg.task.mode), Timing()
    # best.ckpt comes before last.ckpt, which holds its score.
    callbacks = [timing, History(folder.history), best,
                 *chosen_callbacks(cfg.callbacks, folder.last, cfg.trainer.enable_progress_bar)]  # fmt: skip
    loggers = [build(node, save_dir=str(folder.path)) for node in cfg.logger.values() if node and is_first_process()]
    trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
    at_end += [partial(tracker.finish, folder) for tracker in trackers]
    trainer = _trainer_of(prepared, hardware, callbacks, loggers)
    convert_before_loading(trainer, task)
    _record_start(prepared, folder, task, hardware, loggers, probe)

    trainer.fit(task, datamodule, ckpt_path=folder.last if begun else None)
    if cfg.callbacks.get("batch_size"):
        _say_batch_size(datamodule)
    kept = _load_kept(trainer, task, datamodule, folder, best, cfg.predict.no_lesion)
    cases, metrics = evaluate_parts(trainer, task, datamodule, ["val", "test"] if monitor else ["test"])
    score = finite(best.best_model_score)
    if is_first_process():
        folder.write_cases(cases)
        if isinstance(task, SegmentationTask):
            folder.write_masks({id_: task.predicted_masks[id_] for id_ in cases["id"]})
        folder.update_status(score=score, epochs=trainer.current_epoch, **kept, **timing.summary())
        _decorate(folder, task, datamodule, trainer, cfg)
        for tracker in trackers:
            tracker.send_results(folder, task, datamodule, cases, metrics)
        folder.write_metrics({"val": metrics_of_nothing(cases)} | metrics)  # last: it makes the run complete
        if not cfg.keep_last:
            folder.last.unlink(missing_ok=True)
    return score


def _trainer_of(
    prepared: PreparedRun, hardware: Hardware, callbacks: list[pl.Callback], loggers: list[Logger]
) -> pl.Trainer:
    """Build the Trainer of a training, with what depends on the sizes of the parts."""
    cfg = prepared.config
    sizes = {part: len(prepared.split.part(part)) for part in PARTS}
    shows_bar = cfg.trainer.enable_progress_bar and bool(cfg.callbacks.get("progress"))
    options = {"enable_progress_bar": shows_bar, **at_least_one_batch(cfg.trainer, sizes, cfg.data.batch_size)}
    trainer = build_trainer(cfg.trainer, hardware, callbacks=callbacks, logger=loggers, **options)
    if not prepared.is_validated:
        trainer.limit_val_batches = 0  # as an option, it would give way to overfit_batches
    return trainer


def _record_start(
    prepared: PreparedRun, folder: RunDir, task: BusTask, hardware: Hardware, loggers: list[Logger],
    probe: dict[str, float],
) -> None:  # fmt: skip
    """Write what is known before the first step: to the loggers, the folder and the log."""
    cfg = prepared.config
    with collection_paused():  # W&B imports its parts at the first use
        for logger in loggers:
            logger.log_hyperparams(cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True)))
    parameters = sum(parameter.numel() for parameter in task.net.parameters())
    if is_first_process():
        folder.update_status(parameters=parameters, **hardware.used, **probe)
    train, val, test = (len(prepared.split.part(part)) for part in PARTS)
    images = f"{train} training, {val} validation and {test} test images"
    log.info("%s: %s parameters, %s, %s", cfg.model.name, f"{parameters:,}", hardware, images)


def _load_kept(
    trainer: pl.Trainer, task: BusTask, datamodule: BusDataModule, folder: RunDir, best: MovableCheckpoint,
    no_lesion: Any,
) -> dict[str, Any]:  # fmt: skip
    """Load the kept weights, and choose the no-lesion rule on the validation images if the task has one.

    Returns:
        Which epoch is kept, and the rule, for status.json.
    """
    untyped: Any = trainer  # the type checker does not see its setter
    # Callbacks of the training must not change the results of the kept weights.
    untyped.callbacks = [callback for callback in untyped.callbacks if isinstance(callback, ProgressBar)]
    load_kept_weights(task.net, folder.best)
    kept: dict[str, Any] = {"kept_epoch": best.kept_epoch, "kept_by": best.kept_by}
    if isinstance(task, SegmentationTask) and task.scores_lesions:
        rule = task.adopt_rule(evaluate_parts(trainer, task, datamodule, ["val"])[0], no_lesion)
        kept["lesion_rule"] = asdict(rule)
    return kept


def _decorate(folder: RunDir, task: BusTask, datamodule: BusDataModule, trainer: pl.Trainer, cfg: DictConfig) -> None:
    """Write what only shows the results: the latency, what the network costs, and a picture of test samples."""
    with decoration(folder, "latency"):
        task.to(trainer.strategy.root_device)  # the Trainer has moved it to the CPU
        milliseconds = latency(task, datamodule.collate([datamodule.parts["test"][0]])["image"])
        folder.update_status(latency_ms=round(milliseconds, 3))
    with decoration(folder, "count of what the network costs"):
        layers = trace_layers(task.net.eval(), cfg.data.channels, cfg.data.size)
        write_network(folder, count_weights(task.net) | layers)
    with decoration(folder, "picture of test samples"):
        save_sheet(task, datamodule.parts["test"], datamodule.collate, folder.figures / "test_samples.png")


@contextmanager
def decoration(folder: RunDir, what: str) -> Iterator[None]:
    """Log an error of a block that only shows results, instead of failing the run.

    Args:
        folder: The run's folder.
        what: What an error leaves out, for the log.
    """
    try:
        yield
    except Exception as error:
        log.warning("%s: no %s: %s: %s", folder.path, what, type(error).__name__, " ".join(str(error).split()))


def _say_batch_size(datamodule: BusDataModule) -> None:
    """Log the batch size that debug=batch_size found."""
    size, images = datamodule.batch_size, len(datamodule.sampler)
    all_fit = " (all training images fit)" if size >= 0.95 * images else ""
    log.info("Largest batch that fits, with a safety margin: %d images%s.", size, all_fit)
