"""Build the task and the Trainer of a run, for its training and for evaluations."""

import gc
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build, build_net
from bus_lightning.config.trusted import Origin
from bus_lightning.core.errors import UserError
from bus_lightning.core.workarounds import (
    keep_signals_from_lightning,
    plain_environment,
    quiet_lightning,
    reset_determinism,
)
from bus_lightning.data.datamodule import BusDataModule, example_images
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.models.weights import load_weights
from bus_lightning.tasks.base import BusTask
from bus_lightning.training.callbacks.checkpoints import SafeCheckpointIO
from bus_lightning.training.hardware import Hardware
from bus_lightning.training.start_checks import check_logits, start_small

quiet_lightning()
gc.freeze()  # the libraries' objects stay: collecting after a job need not visit a million of them


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
