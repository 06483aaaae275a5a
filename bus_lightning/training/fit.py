"""The work of one run: build everything, fit, test the kept checkpoint, write what came of it."""

import gc
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import ProgressBar
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build, build_net
from bus_lightning.config.limits import at_least_one_batch
from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import is_first_process
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.probe import SUSPICIOUS, label_in_input
from bus_lightning.data.splits import PARTS, Split
from bus_lightning.metrics.per_case import Metrics, metrics_of
from bus_lightning.models.weights import load_kept_weights, load_weights, read_checkpoint
from bus_lightning.runs.folder import RunDir
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.tracking.results import send_results
from bus_lightning.training.callbacks.checkpoints import SafeCheckpointIO, best_checkpoint
from bus_lightning.training.callbacks.chosen import chosen_callbacks
from bus_lightning.training.callbacks.history import History
from bus_lightning.training.callbacks.images import save_sheet
from bus_lightning.training.callbacks.timing import Timing, latency
from bus_lightning.training.hardware import Hardware, choose_hardware
from bus_lightning.training.start_checks import check_answers, example_images, start_small

log = logging.getLogger(__name__)
# Lightning prints through a handler of its own, beside ours, and its news of the day are not the user's.
logging.getLogger("lightning.pytorch").handlers.clear()
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # debug=profile prints its table there
warnings.filterwarnings("ignore", message=r".*LeafSpec.* is deprecated")  # Lightning 2.6 on newer torch
warnings.filterwarnings("ignore", message=r".*does not have many workers")  # images are in memory
warnings.filterwarnings("ignore", message=r"Checkpoint directory .* is not empty")  # a run is resumed in place
warnings.filterwarnings("ignore", message=r".*smaller than the logging interval")  # epochs are logged, too
warnings.filterwarnings("ignore", message=r"The `srun` command is available")  # submitit starts the job, not srun
# It is: the data module skips what has been trained on.
warnings.filterwarnings("ignore", message=r"You're resuming from a checkpoint that ended before the epoch ended")
# Ours are the same in all processes before they are logged.
warnings.filterwarnings("ignore", message=r"It is recommended to use `self.log\(.*, sync_dist=True\)`")
gc.freeze()  # the libraries' objects stay: collecting after a job need not look at a million of them


def train_and_test(cfg: DictConfig, folder: RunDir, prepared: PreparedData, split: Split) -> float | None:
    """Train, test the kept checkpoint and write the rest of the run's folder.

    Args:
        cfg: The config, complete.
        folder: The run's folder, started.
        prepared: Index and groups.
        split: Who is in which part.

    Returns:
        Validation score of the kept epoch; None where there is no validation set.
    """
    announce_label_in_input(cfg, ["val", "test"])
    begun = folder.last.is_file()
    hardware = choose_hardware(cfg, before=folder.status if begun else {}, images=len(prepared.frame))
    if cfg.callbacks.get("batch_size") and hardware.device.type == "cpu":
        raise UserError(
            "debug=batch_size fills the memory of a GPU, and this is a CPU: there, try a few data.batch_size."
        )
    if cfg.seed is not None:
        pl.seed_everything(cfg.seed, verbose=False)
    datamodule = BusDataModule(prepared, split, cfg, cfg.task.name != "classification", hardware.home_of_images)
    probe = probe_overlay(cfg, datamodule, split)
    task = build_task(cfg, datamodule, hardware, starts=not begun)
    monitor = cfg.task.monitor if is_validated(cfg, split) else None
    best, timing = best_checkpoint(folder, monitor, cfg.task.mode), Timing()
    callbacks = chosen_callbacks(cfg, folder.last)
    first = is_first_process()
    loggers = [build(node, save_dir=str(folder.path)) for node in cfg.logger.values() if node and first]
    shows_bar = cfg.trainer.enable_progress_bar and bool(cfg.callbacks.get("progress"))
    sizes = {part: len(split.part(part)) for part in PARTS}
    options: dict[str, Any] = {"enable_progress_bar": shows_bar}
    options |= at_least_one_batch(cfg.trainer, sizes, cfg.data.batch_size)
    if monitor is None:
        options["limit_val_batches"] = 0
    # best.ckpt comes before last.ckpt, which holds its score.
    callbacks = [timing, History(folder.history), best, *callbacks]
    trainer = build_trainer(cfg, hardware, callbacks=callbacks, logger=loggers, **options)
    # Lightning converts only after it has loaded last.ckpt, which would round the loaded weights.
    trainer.precision_plugin.convert_module(task)
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
    untyped: Any = trainer  # Lightning sets its callbacks in a way that the type checker does not see
    # Callbacks of the training must not change the results of the kept weights.
    untyped.callbacks = [callback for callback in untyped.callbacks if isinstance(callback, ProgressBar)]
    load_kept_weights(task.net, folder.best)
    cases, metrics = evaluate_parts(trainer, task, datamodule, ["val", "test"] if monitor else ["test"])
    score = _finite(best.best_model_score)
    if not first:
        return score
    folder.write_cases(cases)
    if isinstance(task, SegmentationTask):
        folder.write_masks({id_: task.predicted_masks[id_] for id_ in cases["id"]})
    kept = {"kept_epoch": best.kept_epoch, "kept_by": best.kept_by}
    folder.update_status(score=score, epochs=trainer.current_epoch, **kept, **timing.summary())
    with decoration(folder, "latency"):
        task.to(trainer.strategy.root_device)  # the Trainer has moved it to the CPU
        milliseconds = latency(task, datamodule.collate([datamodule.parts["test"][0]])["image"])
        folder.update_status(latency_ms=round(milliseconds, 3))
    with decoration(folder, "picture of test samples"):
        save_sheet(task, datamodule.parts["test"], datamodule.collate, folder.figures / "test_samples.png")
    send_results(loggers, folder, task, datamodule, cases, metrics)
    folder.write_metrics({"val": metrics_of_nothing(cases)} | metrics)
    if not cfg.keep_last:
        folder.last.unlink(missing_ok=True)
    return score


@contextmanager
def decoration(folder: RunDir, what: str) -> Iterator[None]:
    """Turn an error of a block that only shows results into a line in the log, so that it does not fail the run.

    Args:
        folder: The run's folder.
        what: What is missing after an error, for the log.
    """
    try:
        yield
    except Exception as error:
        log.warning("%s: no %s: %s: %s", folder.path, what, type(error).__name__, " ".join(str(error).split()))


def is_validated(cfg: DictConfig, split: Split) -> bool:
    """Tell whether a run is validated: the split has validation images, and `limit_val_batches` is not 0."""
    return bool(split.val) and cfg.trainer.limit_val_batches != 0


def build_task(
    cfg: DictConfig, datamodule: BusDataModule, hardware: Hardware, starts: bool, trains: bool = True
) -> BusTask:
    """Build network, weights, loss and task of a run, and check the network's output on a few images.

    Args:
        cfg: The run's config.
        datamodule: The run's images.
        hardware: The device that it runs on.
        starts: Whether a training begins here, so that an untrained head starts small (`start_small`).
        trains: Whether the task is trained; false for an evaluation.

    Raises:
        WeightsMissingError: When the model's weights cannot be had.
        UserError: When the network does not return the logits that the task needs.
    """
    net = build_net(cfg.model, cfg.debug_size)
    classes = len(cfg.data.classes)
    of_head = 0 if cfg.task.name == "segmentation" else classes
    drawn = None
    if cfg.model.weights == "imagenet":
        if not cfg.model.imagenet:
            raise UserError(f"model.weights=imagenet: none are known for {cfg.model.name}; give a file.")
        drawn = load_weights(net, build(cfg.model.imagenet), "imagenet", of_head).drawn
    elif cfg.model.weights:
        source = str(cfg.model.weights)
        drawn = load_weights(net, read_checkpoint(Path(source)), source, of_head).drawn
    weights = datamodule.class_weights()
    loss = build(cfg.task.loss, **({} if weights is None else {"weight": weights}))
    special = {key: value for key, value in cfg.task.items() if key not in ("name", "mode", "loss")}
    task: BusTask = build(
        OmegaConf.create(special), "task", net=net, loss=loss, classes=list(cfg.data.classes),
        optimizer=build(cfg.optimizer), scheduler=build(cfg.scheduler), channels_last=hardware.channels_last,
    )  # fmt: skip
    images = example_images(datamodule)
    logits = check_answers(task, images, cfg.task.name, modes=(True, False) if trains else (False,))
    if starts and logits is not None:
        start_small(task, images, logits, drawn, again=lambda: build_net(cfg.model, cfg.debug_size))
    return task


def build_trainer(cfg: DictConfig, hardware: Hardware, **options: Any) -> pl.Trainer:
    """Build the Trainer, which writes and reads checkpoints safely."""
    options |= {"precision": hardware.precision, "enable_checkpointing": True}
    # A CPU cannot normalise over processes. The environment is named lest Lightning take requeueing into its own hands
    # where it sees Slurm.
    options |= {"sync_batchnorm": bool(cfg.trainer.get("sync_batchnorm")) and hardware.device.type != "cpu"}
    # Lightning leaves the last job's choice in force.
    torch.use_deterministic_algorithms(bool(cfg.trainer.get("deterministic")))
    trainer = build(cfg.trainer, plugins=[SafeCheckpointIO(), LightningEnvironment()], **options)
    # Its own way with SIGTERM waits for other processes from within the handler, and ends the training unsaved.
    trainer._signal_connector.register_signal_handlers = lambda: None
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
        found = metrics_of(table)
        metrics[part] = {"n": found.pop("n"), "loss": _finite(task.mean_loss), **found}
    return pd.concat(tables, ignore_index=True), metrics


def _say_batch_size(datamodule: BusDataModule) -> None:
    """Log the batch size that debug=batch_size found."""
    found, images = datamodule.batch_size, len(datamodule.sampler)
    more = ", or more: there are no more to try" if found >= 0.95 * images else ""
    log.info("The largest batch that fits, less a margin, has %d images%s.", found, more)


def metrics_of_nothing(cases: pd.DataFrame) -> Metrics:
    """Tell the metrics of a part without images: n is 0 and the rest null."""
    found = metrics_of(cases.iloc[:0])
    return {"n": found.pop("n"), "loss": None, **found}


def _finite(value: Any) -> float | None:
    """Turn a number into a float that JSON knows; what is not finite becomes None."""
    return float(value) if value is not None and math.isfinite(value) else None


def announce_label_in_input(cfg: DictConfig, evaluated: list[str]) -> None:
    """Say when the label is drawn into images whose scores are shown."""
    tells = cfg.overlay.style != "none" and cfg.overlay.source == "ground_truth"
    drawn = [part for part in evaluated if tells and part in cfg.overlay.parts]
    if drawn:
        log.warning("The label is in the input: overlay=%s is drawn into %s; those scores measure the drawing.",
                    cfg.overlay.style, " and ".join(drawn))  # fmt: skip


def probe_overlay(cfg: DictConfig, datamodule: BusDataModule, split: Split) -> dict[str, float]:
    """Warn before training when plain statistics of the images tell the class because of the overlay.

    Returns:
        The macro AUC of the probe with and without overlay, for status.json; empty where nothing is drawn.
    """
    overlay = cfg.overlay
    if cfg.task.name != "classification" or overlay.style == "none" or "train" not in overlay.parts:
        return {}
    if overlay.source == "predicted" or overlay.style in ("channel", "crop"):  # a truth that statistics do not see
        return {}
    if (found := label_in_input(datamodule.parts["train"], split.groups)) is None:
        return {}
    drawn, bare = found
    if drawn - bare >= SUSPICIOUS:
        log.warning(
            "The overlay gives the label away: 20 statistics of the intensities tell the class with a macro AUC of "
            "%.2f, and without overlay=%s with %.2f.", drawn, cfg.overlay.style, bare,
        )  # fmt: skip
    return {"probe_auc": round(drawn, 4), "probe_auc_without_overlay": round(bare, 4)}
