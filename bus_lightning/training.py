"""One run, from a config to a complete run folder."""

import gc
import logging
import logging.handlers
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from bus_lightning.callbacks.checkpoints import SafeCheckpointIO, checkpoint_callbacks
from bus_lightning.callbacks.history import History
from bus_lightning.callbacks.images import save_sheet
from bus_lightning.config import build, build_net, check, save_config
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.splits import Split
from bus_lightning.errors import UserError
from bus_lightning.evaluation.metrics import Metrics, metrics_of
from bus_lightning.models.weights import load_kept_weights, load_weights, read_checkpoint
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
    if cfg.rerun and folder.config.is_file():
        log.info("%s: rerun, the old folder is now %s", folder.path, folder.set_aside().name)
    with _recorded(folder) as status:
        check(cfg, optimised)
        prepared = prepare_data(cfg.data, needs_masks=cfg.task.name == "segmentation")
        cfg.data.classes, cfg.data.num_classes = prepared.classes, len(prepared.classes)
        split = prepared.split(cfg.data.split)
        hashes = {"data": prepared.content, "split": split.hash}
        if _is_done(folder, cfg, hashes):
            log.info("%s: complete, skipped", folder.path)
            return folder.status.get("score")
        log.info("%s: %s", folder.path, "going on" if folder.last.is_file() else "starting")
        save_config(cfg, folder.config)
        split.save(folder.split)
        folder.start(**hashes)
        status["taken_up"] = True
        return _train_and_test(cfg, folder, prepared, split)


def _train_and_test(cfg: DictConfig, folder: RunDir, prepared: PreparedData, split: Split) -> float | None:
    """Do the work of a run."""
    _announce_label_in_input(cfg)
    if cfg.seed is not None:
        pl.seed_everything(cfg.seed, verbose=False)
    datamodule = BusDataModule(prepared, split, cfg, full_masks=cfg.task.name == "segmentation")
    task = build_task(cfg, datamodule)
    monitor = cfg.task.monitor if split.val else None
    best, last = checkpoint_callbacks(folder, monitor, cfg.task.mode)
    callbacks = [build(node) for node in cfg.callbacks.values() if node]
    loggers = [build(node, save_dir=str(folder.path)) for node in cfg.logger.values() if node]
    no_validation = {} if split.val else {"limit_val_batches": 0}
    callbacks += [History(folder.history), best, last]
    trainer = build_trainer(cfg, callbacks=callbacks, logger=loggers, **no_validation)
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    parameters = sum(parameter.numel() for parameter in task.net.parameters())
    folder.update_status(parameters=parameters, precision=str(trainer.precision), device=_device_name(trainer))

    sizes = f"{len(split.train)} training, {len(split.val)} validation and {len(split.test)} test images"
    where = f"{trainer.precision} on {_device_name(trainer)}"
    log.info("%s: %s parameters, %s, %s", cfg.model.name, f"{parameters:,}", where, sizes)

    checkpoint = folder.last if folder.last.is_file() else None
    trainer.fit(task, datamodule, ckpt_path=checkpoint)
    if trainer.interrupted:
        raise KeyboardInterrupt
    load_kept_weights(task.net, folder.best)
    cases, metrics = evaluate_parts(trainer, task, datamodule, [part for part in ("val", "test") if split.part(part)])
    save_sheet(task, datamodule.parts["test"], folder.figures / "test_samples.png")
    folder.write_cases(cases)
    score = float(best.best_model_score) if monitor and best.best_model_score is not None else None
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
        metrics[part] = {"n": found.pop("n"), "loss": task.mean_loss, **found}
    return pd.concat(tables, ignore_index=True), metrics


def metrics_of_nothing(cases: pd.DataFrame) -> Metrics:
    """Tell the metrics of a part without images: n is 0 and the rest null."""
    found = metrics_of(cases.iloc[:0])
    return {"n": found.pop("n"), "loss": None, **found}


def _is_done(folder: RunDir, cfg: DictConfig, hashes: dict[str, str]) -> bool:
    """Decide whether a run is complete; make room for it when it has to start afresh.

    Raises:
        UserError: When the folder holds another experiment, or a longer training than the one asked for.
    """
    if not folder.config.is_file():
        return False
    if differences := folder.differences(cfg, hashes):
        raise UserError(
            f"{folder.path} holds another experiment: it differs in {'; '.join(differences[:3])}. "
            "Choose another name=..., or pass rerun=true to move the old folder aside."
        )
    trained, asked = folder.status.get("epochs"), cfg.trainer.max_epochs
    if not folder.is_complete:
        return False
    if trained is None or asked <= trained:
        return True
    if folder.last.is_file():
        log.info("%s: extended from %d to %d epochs", folder.path, trained, asked)
        folder.metrics_file.unlink()
    else:
        old = folder.set_aside()
        log.info("%s: %d epochs instead of %d, from the start, for last.ckpt was not kept (keep_last=true keeps it); "
                 "the old folder is now %s", folder.path, asked, trained, old.name)  # fmt: skip
    return False


@contextmanager
def _recorded(folder: RunDir) -> Iterator[dict[str, bool]]:
    """Keep the record of a run, however it ends, and leave nothing of it in memory."""
    started = time.monotonic()
    status = {"taken_up": False}
    handler: logging.Handler | None = None
    exit_code = 1
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        # Watched: when the folder is set aside, the log goes on in the new one.
        handler = logging.handlers.WatchedFileHandler(folder.log, delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger().addHandler(handler)
        yield status
        if status["taken_up"]:
            folder.finish("complete", started)
        exit_code = 0
    except (KeyboardInterrupt, SystemExit):
        folder.finish("interrupted", started)
        log.warning("%s: interrupted; the same command goes on with it", folder.path)
        raise
    except BaseException as error:
        _record_failure(folder, error, started, is_foreign=folder.is_complete and not status["taken_up"])
        raise
    finally:
        if handler:
            logging.getLogger().removeHandler(handler)
            handler.close()
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish(exit_code=exit_code)
        gc.collect()
        torch.cuda.empty_cache()


def _record_failure(folder: RunDir, error: BaseException, started: float, is_foreign: bool) -> None:
    """Write the traceback and the state; a complete run that was only refused stays as it is."""
    if is_foreign:
        return
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    folder.error.write_text("".join(traceback.format_exception(error)))
    folder.finish("failed", started, error=first_line, kind=type(error).__name__)


def _announce_label_in_input(cfg: DictConfig) -> None:
    drawn = [part for part in ("val", "test") if cfg.overlay.style != "none" and part in cfg.overlay.parts]
    if drawn:
        log.warning("The label is in the input: overlay=%s is drawn into %s; those scores measure the drawing.",
                    cfg.overlay.style, " and ".join(drawn))  # fmt: skip


def _device_name(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
