"""The work of one run: build everything, fit, test the kept checkpoint, write what came of it."""

import gc
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import BatchSizeFinder
from omegaconf import DictConfig, OmegaConf

from bus_lightning.callbacks.checkpoints import SafeCheckpointIO, best_checkpoint
from bus_lightning.callbacks.history import History
from bus_lightning.callbacks.images import save_sheet
from bus_lightning.callbacks.timing import Timing, latency
from bus_lightning.config import build, build_net
from bus_lightning.dashboard.results import send_results
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.probe import SUSPICIOUS, label_in_input
from bus_lightning.data.splits import Split
from bus_lightning.errors import UserError
from bus_lightning.evaluation.metrics import Metrics, metrics_of
from bus_lightning.hardware import Hardware, choose_hardware
from bus_lightning.models.weights import load_kept_weights, load_weights, read_checkpoint
from bus_lightning.ranks import is_first_process
from bus_lightning.run_dir import RunDir
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.segmentation import SegmentationTask

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
    task = build_task(cfg, datamodule, hardware)
    monitor = cfg.task.monitor if split.val else None
    best, timing = best_checkpoint(folder, monitor, cfg.task.mode), Timing()
    further = {"checkpoint": {"path": folder.last}}  # what only the run knows
    callbacks = [build(node, **further.get(str(name), {})) for name, node in cfg.callbacks.items() if node]
    first = is_first_process()
    loggers = [build(node, save_dir=str(folder.path)) for node in cfg.logger.values() if node and first]
    shows_bar = cfg.trainer.enable_progress_bar and bool(cfg.callbacks.get("progress"))
    options: dict[str, Any] = {"enable_progress_bar": shows_bar}
    if not split.val:
        options["limit_val_batches"] = 0
    # best.ckpt comes before last.ckpt, which holds its score.
    callbacks = [timing, History(folder.history), best, *callbacks]
    trainer = build_trainer(cfg, hardware, callbacks=callbacks, logger=loggers, **options)
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    parameters = sum(parameter.numel() for parameter in task.net.parameters())
    if first:
        folder.update_status(parameters=parameters, **hardware.used, **probe)

    sizes = f"{len(split.train)} training, {len(split.val)} validation and {len(split.test)} test images"
    log.info("%s: %s parameters, %s, %s", cfg.model.name, f"{parameters:,}", hardware, sizes)

    trainer.fit(task, datamodule, ckpt_path=folder.last if begun else None)
    if cfg.callbacks.get("batch_size"):
        _say_batch_size(trainer, datamodule)
    load_kept_weights(task.net, folder.best)
    cases, metrics = evaluate_parts(trainer, task, datamodule, [part for part in ("val", "test") if split.part(part)])
    score = _finite(best.best_model_score) if monitor else None
    if not first:
        return score
    folder.write_cases(cases)
    if isinstance(task, SegmentationTask):
        folder.write_masks({id_: task.answers[id_] for id_ in cases["id"]})
    task.to(trainer.strategy.root_device)  # the Trainer has moved it to the CPU
    milliseconds = latency(task, datamodule.collate([datamodule.parts["test"][0]])["image"])
    try:
        save_sheet(task, datamodule.parts["test"], datamodule.collate, folder.figures / "test_samples.png")
    except Exception as error:  # a picture is not worth a finished training
        log.warning("%s: no picture of test samples: %s", folder.path, error)
    folder.update_status(
        score=score, epochs=trainer.current_epoch, latency_ms=round(milliseconds, 3), **timing.summary()
    )
    send_results(loggers, folder, task, datamodule, cases, metrics)
    folder.write_metrics({"val": metrics_of_nothing(cases)} | metrics)
    if not cfg.keep_last:
        folder.last.unlink(missing_ok=True)
    return score


def build_task(cfg: DictConfig, datamodule: BusDataModule, hardware: Hardware) -> BusTask:
    """Build network, weights, loss and task of a run.

    Raises:
        WeightsMissingError: When the model's weights cannot be had.
    """
    net = build_net(cfg.model, cfg.debug_size)
    if cfg.model.weights == "imagenet":
        if not cfg.model.imagenet:
            raise UserError(f"model.weights=imagenet: none are known for {cfg.model.name}; give a file.")
        load_weights(net, build(cfg.model.imagenet), source="imagenet")
    elif cfg.model.weights:
        load_weights(net, read_checkpoint(Path(cfg.model.weights)), source=str(cfg.model.weights))
    weights = datamodule.class_weights()
    loss = build(cfg.task.loss, **({} if weights is None else {"weight": weights}))
    special = {key: value for key, value in cfg.task.items() if key not in ("name", "mode", "loss")}
    return build(
        OmegaConf.create(special), net=net, loss=loss, classes=list(cfg.data.classes),
        optimizer=build(cfg.optimizer), scheduler=build(cfg.scheduler), channels_last=hardware.channels_last,
    )  # fmt: skip


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


def _say_batch_size(trainer: pl.Trainer, datamodule: BusDataModule) -> None:
    """Say what debug=batch_size found, and let it rest: it would search again when it is validated and tested."""
    found, images = datamodule.batch_size, len(datamodule.sampler)
    more = ", or more: there are no more to try" if found >= 0.95 * images else ""
    log.info("The largest batch that fits, less a margin, has %d images%s.", found, more)
    untyped: Any = trainer  # Lightning sets its callbacks behind the type checker's back
    untyped.callbacks = [callback for callback in untyped.callbacks if not isinstance(callback, BatchSizeFinder)]


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
