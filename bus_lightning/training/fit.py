"""Build a run, fit it, test its kept checkpoint, and write the results."""

import gc
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
from lightning.pytorch.callbacks import ProgressBar
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build, build_net
from bus_lightning.config.limits import at_least_one_batch
from bus_lightning.config.trusted import Origin
from bus_lightning.core.errors import UserError
from bus_lightning.core.garbage import collection_paused
from bus_lightning.core.ranks import is_first_process
from bus_lightning.core.workarounds import (
    convert_before_loading,
    keep_signals_from_lightning,
    plain_environment,
    quiet_lightning,
    reset_determinism,
)
from bus_lightning.data.datamodule import BusDataModule, example_images
from bus_lightning.data.probe import SUSPICIOUS, label_in_input
from bus_lightning.data.splits import PARTS, Split
from bus_lightning.metrics.per_case import Metrics, metrics_of
from bus_lightning.models.anatomy import count_weights, trace_layers
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.models.weights import load_kept_weights, load_weights
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.network import write_network
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.training.callbacks.checkpoints import SafeCheckpointIO, best_checkpoint
from bus_lightning.training.callbacks.chosen import chosen_callbacks
from bus_lightning.training.callbacks.history import History
from bus_lightning.training.callbacks.images import save_sheet
from bus_lightning.training.callbacks.timing import Timing, latency
from bus_lightning.training.hardware import Hardware, choose_hardware
from bus_lightning.training.prepared_run import PreparedRun
from bus_lightning.training.start_checks import check_logits, start_small
from bus_lightning.training.tracker import Tracker

log = logging.getLogger(__name__)
quiet_lightning()
gc.freeze()  # the libraries' objects stay: collecting after a job need not visit a million of them


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
    """
    cfg, split = prepared.config, prepared.split
    announce_label_in_input(cfg.overlay, ["val", "test"])
    begun = folder.last.is_file()
    hardware = choose_hardware(cfg, folder.status if begun else {}, len(prepared.data.frame), devices)
    if cfg.callbacks.get("batch_size") and hardware.device.type == "cpu":
        raise UserError("debug=batch_size fills the memory of a GPU, and this is a CPU: try values of data.batch_size.")
    if cfg.seed is not None:
        pl.seed_everything(cfg.seed, verbose=False)
    datamodule = BusDataModule(prepared.data, split, cfg, cfg.task.name != "classification", hardware.home_of_images)
    probe = probe_overlay(cfg.overlay, datamodule, split) if cfg.task.name == "classification" else {}
    task = build_task(cfg, datamodule, hardware, starts=not begun)
    monitor = cfg.task.monitor if prepared.is_validated else None
    best, timing = best_checkpoint(folder, monitor, cfg.task.mode), Timing()
    callbacks = chosen_callbacks(cfg.callbacks, folder.last, cfg.trainer.enable_progress_bar)
    first = is_first_process()
    loggers = [build(node, save_dir=str(folder.path)) for node in cfg.logger.values() if node and first]
    trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
    at_end += [partial(tracker.finish, folder) for tracker in trackers]
    shows_bar = cfg.trainer.enable_progress_bar and bool(cfg.callbacks.get("progress"))
    sizes = {part: len(split.part(part)) for part in PARTS}
    options: dict[str, Any] = {"enable_progress_bar": shows_bar}
    options |= at_least_one_batch(cfg.trainer, sizes, cfg.data.batch_size)
    if monitor is None:
        options["limit_val_batches"] = 0
    # best.ckpt comes before last.ckpt, which holds its score.
    callbacks = [timing, History(folder.history), best, *callbacks]
    trainer = build_trainer(cfg.trainer, hardware, callbacks=callbacks, logger=loggers, **options)
    convert_before_loading(trainer, task)
    with collection_paused():  # W&B imports its parts at the first use
        for logger in loggers:
            logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    parameters = sum(parameter.numel() for parameter in task.net.parameters())
    if first:
        folder.update_status(parameters=parameters, **hardware.used, **probe)

    images = f"{sizes['train']} training, {sizes['val']} validation and {sizes['test']} test images"
    log.info("%s: %s parameters, %s, %s", cfg.model.name, f"{parameters:,}", hardware, images)

    trainer.fit(task, datamodule, ckpt_path=folder.last if begun else None)
    if cfg.callbacks.get("batch_size"):
        _say_batch_size(datamodule)
    untyped: Any = trainer  # the type checker does not see its setter
    # Callbacks of the training must not change the results of the kept weights.
    untyped.callbacks = [callback for callback in untyped.callbacks if isinstance(callback, ProgressBar)]
    load_kept_weights(task.net, folder.best)
    kept: dict[str, Any] = {"kept_epoch": best.kept_epoch, "kept_by": best.kept_by}
    if isinstance(task, SegmentationTask) and task.scores_lesions:
        rule = task.adopt_rule(evaluate_parts(trainer, task, datamodule, ["val"])[0], cfg.predict.no_lesion)
        kept["lesion_rule"] = asdict(rule)
    cases, metrics = evaluate_parts(trainer, task, datamodule, ["val", "test"] if monitor else ["test"])
    score = _finite(best.best_model_score)
    if not first:
        return score
    folder.write_cases(cases)
    if isinstance(task, SegmentationTask):
        folder.write_masks({id_: task.predicted_masks[id_] for id_ in cases["id"]})
    folder.update_status(score=score, epochs=trainer.current_epoch, **kept, **timing.summary())
    with decoration(folder, "latency"):
        task.to(trainer.strategy.root_device)  # the Trainer has moved it to the CPU
        milliseconds = latency(task, datamodule.collate([datamodule.parts["test"][0]])["image"])
        folder.update_status(latency_ms=round(milliseconds, 3))
    with decoration(folder, "count of what the network costs"):
        layers = trace_layers(task.net.eval(), cfg.data.channels, cfg.data.size)
        write_network(folder, count_weights(task.net) | layers)
    with decoration(folder, "picture of test samples"):
        save_sheet(task, datamodule.parts["test"], datamodule.collate, folder.figures / "test_samples.png")
    for tracker in trackers:
        tracker.send_results(folder, task, datamodule, cases, metrics)
    folder.write_metrics({"val": metrics_of_nothing(cases)} | metrics)
    if not cfg.keep_last:
        folder.last.unlink(missing_ok=True)
    return score


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


def build_task(
    cfg: DictConfig, datamodule: BusDataModule, hardware: Hardware, starts: bool, origin: Origin | None = None
) -> BusTask:
    """Build network, weights, loss and task of a run, and check the network's output on a few images.

    Args:
        cfg: The run's config.
        datamodule: The run's images.
        hardware: The device that it runs on.
        starts: Whether the training starts, so that an untrained head starts small (`start_small`).
        origin: The run that is evaluated, which needs no optimizer; None if the task is trained.

    Raises:
        WeightsMissingError: If the model's weights cannot be found or downloaded.
        UserError: If the network does not return the logits that the task needs, or must not be built.
    """
    net = build_net(cfg.model, cfg.debug_size, origin)
    classes = len(cfg.data.classes)
    of_head = 0 if cfg.task.name == "segmentation" else classes
    drawn = None
    if cfg.model.weights == "imagenet":
        if not cfg.model.imagenet:
            raise UserError(f"No ImageNet weights are known for {cfg.model.name}: set model.weights=FILE or null.")
        drawn = load_weights(net, build(cfg.model.imagenet, origin), "imagenet", of_head).drawn
    elif cfg.model.weights:
        source = str(cfg.model.weights)
        drawn = load_weights(net, read_checkpoint(Path(source)), source, of_head).drawn
    weights = datamodule.class_weights()
    loss = build(cfg.task.loss, origin, **({} if weights is None else {"weight": weights}))
    optimizer, scheduler = (None, None) if origin else (build(cfg.optimizer), build(cfg.scheduler))
    special = {key: value for key, value in cfg.task.items() if key not in ("name", "mode", "loss")}
    task: BusTask = build(
        OmegaConf.create(special), origin, "task", net=net, loss=loss, classes=list(cfg.data.classes),
        optimizer=optimizer, scheduler=scheduler, channels_last=hardware.channels_last, flips=cfg.predict.flips,
        **({} if cfg.predict.no_lesion is False else {"scores_lesions": True}),
    )  # fmt: skip
    images = example_images(datamodule)
    logits = check_logits(task, images, cfg.task.name, modes=(False,) if origin else (True, False))
    if starts and logits is not None:
        start_small(task, images, logits, drawn, again=lambda: build_net(cfg.model, cfg.debug_size))
    return task


def build_trainer(
    trainer_options: DictConfig, hardware: Hardware, origin: Origin | None = None, /, **options: Any
) -> pl.Trainer:
    """Build the Trainer, which writes and reads checkpoints safely.

    Args:
        trainer_options: The config group `trainer`.
        hardware: The device that it runs on.
        origin: The run that is evaluated; None if it is trained.
        options: Options that replace those in the config.
    """
    options |= {"precision": hardware.precision, "devices": hardware.devices, "enable_checkpointing": True}
    # A CPU cannot normalise over processes.
    options |= {"sync_batchnorm": bool(trainer_options.get("sync_batchnorm")) and hardware.device.type != "cpu"}
    reset_determinism(trainer_options.get("deterministic"))
    plugins = [SafeCheckpointIO(), plain_environment()]
    trainer: pl.Trainer = build(trainer_options, origin, plugins=plugins, **options)
    keep_signals_from_lightning(trainer)
    return trainer


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


def _say_batch_size(datamodule: BusDataModule) -> None:
    """Log the batch size that debug=batch_size found."""
    size, images = datamodule.batch_size, len(datamodule.sampler)
    all_fit = " (all training images fit)" if size >= 0.95 * images else ""
    log.info("Largest batch that fits, with a safety margin: %d images%s.", size, all_fit)


def metrics_of_nothing(cases: pd.DataFrame) -> Metrics:
    """Return the metrics of a part without images: n is 0 and the rest null."""
    return _with_loss(metrics_of(cases.iloc[:0]), None)


def _with_loss(metrics: Metrics, loss: float | None) -> Metrics:
    return {"n": metrics["n"], "loss": _finite(loss)} | metrics


def _finite(value: Any) -> float | None:
    """Return a float that JSON knows: a number that is not finite becomes None."""
    return float(value) if value is not None and math.isfinite(value) else None


def announce_label_in_input(overlay: DictConfig, evaluated: list[str]) -> None:
    """Warn if the label is drawn into evaluated images."""
    shows_label = overlay.style != "none" and overlay.source == "ground_truth"
    drawn = [part for part in evaluated if shows_label and part in overlay.parts]
    if drawn:
        log.warning("The label is in the input: overlay=%s is drawn into %s images. Their scores measure the drawing.",
                    overlay.style, " and ".join(drawn))  # fmt: skip


def probe_overlay(overlay: DictConfig, datamodule: BusDataModule, split: Split) -> dict[str, float]:
    """Warn before the training of a classifier if the overlay lets simple statistics of the images reveal the class.

    Returns:
        The macro AUC of the probe with and without overlay, for status.json; empty if nothing is drawn.
    """
    hidden = ("none", "channel", "crop")  # styles that the statistics do not see
    if overlay.style in hidden or overlay.source == "predicted" or "train" not in overlay.parts:
        return {}
    if (aucs := label_in_input(datamodule.parts["train"], split.groups)) is None:
        return {}
    drawn, bare = aucs
    if drawn - bare >= SUSPICIOUS:
        log.warning(
            "The overlay reveals the label: 20 statistics of the intensities predict the class with a macro AUC of "
            "%.2f, and of %.2f without overlay=%s.", drawn, bare, overlay.style,
        )  # fmt: skip
    return {"probe_auc": round(drawn, 4), "probe_auc_without_overlay": round(bare, 4)}
