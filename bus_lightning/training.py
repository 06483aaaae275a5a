"""One run, from a config to a complete run folder."""

import logging
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from bus_lightning.callbacks.checkpoints import SafeCheckpointIO, checkpoint_callbacks
from bus_lightning.callbacks.history import History
from bus_lightning.callbacks.images import save_sheet
from bus_lightning.config import build, build_net, check, check_validation, load_config, save_config
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.splits import Split
from bus_lightning.errors import OccupiedError, UserError
from bus_lightning.evaluation.metrics import Metrics, metrics_of
from bus_lightning.models.weights import load_kept_weights, load_weights, read_checkpoint
from bus_lightning.recording import recorded
from bus_lightning.run_dir import RunDir
from bus_lightning.tasks.base import BusTask

log = logging.getLogger(__name__)


def run(cfg: DictConfig, optimised: bool = False) -> float | None:
    """Train, test and write one run's folder; skip it when it is complete, go on with it when it is not.

    Args:
        cfg: The composed config, with its `name` set.
        optimised: Whether a sweeper optimises the returned score.

    Returns:
        Validation score of the kept epoch, which a sweeper optimises; None where there is no validation set.

    Raises:
        UserError: For what the user can mend; the traceback is in the run's `error.txt`.
    """
    folder = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    with recorded(folder, cfg.model.name, afresh=cfg.rerun) as record:
        check(cfg, optimised)
        prepared = prepare_data(cfg.data, needs_masks=cfg.task.name == "segmentation")
        cfg.data.classes, cfg.data.num_classes = prepared.classes, len(prepared.classes)
        if cfg.task.name == "classification" and len(prepared.classes) < 2:
            raise UserError(f"{prepared.root} has one class, {prepared.classes[0]}: classification needs at least two.")
        split = prepared.split(cfg.data.split)
        check_validation(cfg, bool(split.val), optimised)
        hashes = {"data": prepared.content, "split": split.hash}
        if _is_done(folder, cfg, hashes):
            log.info("%s: complete, skipped", folder.path)
            return folder.status.get("score")
        log.info("%s: %s", folder.path, "going on" if folder.last.is_file() else "starting")
        save_config(cfg, folder.config)
        split.save(folder.split)
        folder.start(**hashes)
        record.taken_up = True
        return _train_and_test(cfg, folder, prepared, split)


def _train_and_test(cfg: DictConfig, folder: RunDir, prepared: PreparedData, split: Split) -> float | None:
    """Do the work of a run."""
    announce_label_in_input(cfg, ["val", "test"])
    if cfg.seed is not None:
        pl.seed_everything(cfg.seed, verbose=False)
    datamodule = BusDataModule(prepared, split, cfg, full_masks=cfg.task.name == "segmentation")
    task = build_task(cfg, datamodule)
    monitor = cfg.task.monitor if split.val else None
    best, last = checkpoint_callbacks(folder, monitor, cfg.task.mode)
    callbacks = [build(node) for node in cfg.callbacks.values() if node]
    loggers = [build(node, save_dir=str(folder.path)) for node in cfg.logger.values() if node]
    shows_bar = cfg.trainer.enable_progress_bar and bool(cfg.callbacks.get("progress"))
    options: dict[str, Any] = {"enable_progress_bar": shows_bar}
    if not split.val:
        options["limit_val_batches"] = 0
    callbacks += [History(folder.history), best, last]
    trainer = build_trainer(cfg, callbacks=callbacks, logger=loggers, **options)
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    parameters = sum(parameter.numel() for parameter in task.net.parameters())
    folder.update_status(parameters=parameters, precision=str(trainer.precision), device=_device_name(trainer))

    sizes = f"{len(split.train)} training, {len(split.val)} validation and {len(split.test)} test images"
    where = f"{trainer.precision} on {_device_name(trainer)}"
    log.info("%s: %s parameters, %s, %s", cfg.model.name, f"{parameters:,}", where, sizes)

    checkpoint = folder.last if folder.last.is_file() else None
    trainer.fit(task, datamodule, ckpt_path=checkpoint)
    load_kept_weights(task.net, folder.best)
    cases, metrics = evaluate_parts(trainer, task, datamodule, [part for part in ("val", "test") if split.part(part)])
    folder.write_cases(cases)
    try:
        save_sheet(task, datamodule.parts["test"], folder.figures / "test_samples.png")
    except Exception as error:  # a picture is not worth a finished training
        log.warning("%s: no picture of test samples: %s", folder.path, error)
    score = _finite(best.best_model_score) if monitor else None
    folder.update_status(score=score, epochs=trainer.current_epoch)
    folder.write_metrics({"val": metrics_of_nothing(cases)} | metrics)
    if not cfg.keep_last:
        folder.last.unlink(missing_ok=True)
    return score


def build_task(cfg: DictConfig, datamodule: BusDataModule) -> BusTask:
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
        optimizer=build(cfg.optimizer), scheduler=build(cfg.scheduler), channels_last=cfg.channels_last,
    )  # fmt: skip


def build_trainer(cfg: DictConfig, **options: Any) -> pl.Trainer:
    """Build the Trainer, which writes and reads checkpoints safely."""
    return build(cfg.trainer, plugins=[SafeCheckpointIO()], enable_checkpointing=True, **options)


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


def metrics_of_nothing(cases: pd.DataFrame) -> Metrics:
    """Tell the metrics of a part without images: n is 0 and the rest null."""
    found = metrics_of(cases.iloc[:0])
    return {"n": found.pop("n"), "loss": None, **found}


def _finite(value: Any) -> float | None:
    """Turn a number into a float that JSON knows; what is not finite becomes None."""
    return float(value) if value is not None and math.isfinite(value) else None


def _is_done(folder: RunDir, cfg: DictConfig, hashes: dict[str, str]) -> bool:
    """Decide whether a run is complete; make room for it when it has to start afresh.

    Raises:
        UserError: When the folder holds another experiment, or a longer training than the one asked for.
    """
    if not folder.config.is_file():
        return False
    if differences := folder.differences(cfg, hashes):
        raise OccupiedError(
            f"{folder.path} holds another experiment: it differs in {'; '.join(differences[:3])}. "
            "Choose another name=..., or pass rerun=true to move the old folder aside."
        )
    asked, before = cfg.trainer.max_epochs, load_config(folder.config).trainer.max_epochs
    if folder.is_complete and asked <= before:
        if asked < before:
            log.info("%s: was trained for up to %d epochs, more than the %d asked for", folder.path, before, asked)
        return True
    if folder.epochs > asked:
        raise OccupiedError(
            f"{folder.path} has {folder.epochs} epochs behind it, more than trainer.max_epochs={asked}: ask for at "
            "least as many, or pass rerun=true."
        )
    if not folder.is_complete:
        return False
    if folder.last.is_file():
        log.info("%s: extended from %d to %d epochs", folder.path, before, asked)
        folder.metrics_file.unlink()
    else:
        old = folder.set_aside()
        log.info("%s: %d epochs instead of %d, from the start, for last.ckpt was not kept (keep_last=true keeps it); "
                 "the old folder is now %s", folder.path, asked, before, old.name)  # fmt: skip
    return False


def announce_label_in_input(cfg: DictConfig, evaluated: list[str]) -> None:
    """Say when the label is drawn into images whose scores are shown."""
    drawn = [part for part in evaluated if cfg.overlay.style != "none" and part in cfg.overlay.parts]
    if drawn:
        log.warning("The label is in the input: overlay=%s is drawn into %s; those scores measure the drawing.",
                    cfg.overlay.style, " and ".join(drawn))  # fmt: skip


def _device_name(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
