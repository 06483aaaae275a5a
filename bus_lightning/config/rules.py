"""Rules between the options of a config, checked before any compute."""

import re
import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.data_sets import refuse_unread, with_tested_sets
from bus_lightning.config.kinds import shown
from bus_lightning.config.schema import TRAIN, check_kinds, refuse_unknown_keys
from bus_lightning.config.settle import overlay_is_used
from bus_lightning.config.split_options import GIVEN, METHODS, refuse_parts, shares
from bus_lightning.config.trainer_options import check_trainer
from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import processes_started_together, starter

BALANCES = ("none", "oversample", "class_weights")
# Groups that have no keys of a user's own.
_CLOSED = ("data", "data.split", "data.columns", "data.map", "data.drop", "data.phantom", "preprocess", "overlay",
           "predict")  # fmt: skip
_RECIPES = ("experiment", "leak", "sweep", "debug", "local")  # groups whose files set keys of other groups


def check(cfg: DictConfig, sweeps_score: bool = False, in_grid: bool = False) -> None:
    """Refuse what cannot work together, before any compute.

    Args:
        cfg: The composed config.
        sweeps_score: Whether a sweeper optimises the score that training returns.
        in_grid: Whether the run is a job of a grid.

    Raises:
        UserError: One line that names the options and the cure.
    """
    for group in _RECIPES:
        if group in cfg:  # without a package line, Hydra puts a file's keys below its group, where nothing reads them
            raise UserError(f"The file in conf/{group}/ has no effect: make `# @package _global_` its first line.")
    cfg = check_kinds(cfg, TRAIN)
    refuse_unknown_keys(cfg, TRAIN, _CLOSED)
    split = cfg.data.split
    if split.method not in GIVEN:  # whose validation images are known when they have been read
        check_validation(cfg, shares(split.ratio, split.val_from_train)[1] > 0, sweeps_score)
    elif split.val_from_train:
        raise UserError(
            f"data.split.val_from_train={split.val_from_train} has no effect with data.split.method={split.method}, "
            "which says itself what is validated: leave it out."
        )
    if split.method not in METHODS:
        raise UserError(f"data.split.method={split.method} is unknown: choose one of {', '.join(METHODS)}.")
    if split.file is not None and split.method != "file":
        raise UserError(f"data.split.file={split.file} needs data.split.method=file: add it.")
    if split.method == "file" and (unused := [key for key in ("folds", "fold") if split[key] is not None]):
        raise UserError(
            f"data.split.{unused[0]} has no effect with data.split.method=file, which names the parts of one split: "
            "leave it out, and write a file for each fold."
        )
    if split.method in GIVEN and split.seed:
        raise UserError(
            f"data.split.seed={split.seed} has no effect with data.split.method={split.method}, whose parts are given: "
            "leave it out; seed=NUMBER trains again on the same parts."
        )
    if cfg.data.balance not in BALANCES:
        raise UserError(f"data.balance={cfg.data.balance} is unknown: choose one of {', '.join(BALANCES)}.")
    if cfg.data.test is not None:
        refuse_parts(split.method, split.folds)
    if not in_grid:  # a grid may vary the data sets, and give the options of one; see `check_grid`
        refuse_unread(with_tested_sets(cfg).data)
    if cfg.data.phantom and (len(cfg.data.sets) > 1 or cfg.data.test is not None):
        raise UserError("data=phantom draws its images itself and works alone: leave out the other data sets.")
    _check_weights(cfg.model.weights)
    _check_devices(cfg.trainer, cfg.seed, in_grid)
    check_trainer(cfg.trainer, cfg.optimizer)
    exact = str(cfg.trainer.precision).endswith("-true") or str(cfg.trainer.precision) in ("32", "64")
    if cfg.trainer.gradient_clip_val and cfg.optimizer.get("fused") and not exact:
        raise UserError("trainer.gradient_clip_val needs a plain optimizer in 16 bits: add optimizer.fused=false.")
    if cfg.data.balance == "class_weights" and cfg.task.name == "segmentation":
        raise UserError("data.balance=class_weights does not work for segmentation: use oversample or none.")
    if cfg.predict.no_lesion is not False and cfg.task.name == "classification":
        raise UserError(f"predict.no_lesion={cfg.predict.no_lesion}: classifiers predict no mask; set it to false.")
    _check_overlay(cfg)


def _check_overlay(cfg: DictConfig) -> None:
    """Refuse an overlay that reveals the label, or that cannot be drawn."""
    overlay = cfg.overlay
    if overlay.source == "predicted" and not overlay.get("segmenters"):
        raise UserError(
            "overlay.source=predicted needs the masks of overlay.segmenters: use overlay=predicted, which names them, "
            f"and overlay.style={overlay.style} with it."
        )
    # This refuses a sweep with its first segmenter, which ignores the overlay, not with its first classifier.
    if overlay.source == "predicted" and cfg.data.split.method in ("random", "stratified"):
        raise UserError(
            f"overlay=predicted with data.split.method={cfg.data.split.method}: near-duplicates of test images would "
            "be in the segmenter's training set. Use data.split.method=grouped."
        )
    if overlay.style == "none" or not overlay_is_used(cfg):
        return
    if cfg.task.name != "classification":
        raise UserError(
            f"overlay={overlay.style} puts the mask into the input, but {cfg.task.name} has to predict the mask: "
            "use overlay=none."
        )
    if overlay.source == "predicted" and (overlay.style == "class_mark" or overlay.color_by_class):
        option = "overlay.style=class_mark" if overlay.style == "class_mark" else "overlay.color_by_class"
        raise UserError(f"{option} shows the true class, which segmenters do not predict: remove it.")
    if overlay.style == "channel" and cfg.data.channels != 3:
        raise UserError("overlay.style=channel adds a fourth channel to three: use data.channels=3.")


def _check_weights(weights: str | None) -> None:
    """Refuse a word that is neither `imagenet` nor a file."""
    if weights and weights != "imagenet" and re.fullmatch(r"\w+", weights) and not Path(weights).is_file():
        hint = " Did you mean imagenet?" if get_close_matches(weights.lower(), ["imagenet"]) else ""
        raise UserError(f"model.weights={weights}: there is no such file.{hint} Give imagenet, a file, or null.")


def _check_devices(trainer: DictConfig, seed: int | None, in_grid: bool) -> None:
    """Refuse several devices in a grid, and without a strategy."""
    devices, nodes = trainer.devices, trainer.get("num_nodes", 1)
    several = nodes > 1 or (len(devices) > 1 if OmegaConf.is_list(devices) else str(devices) != "1")
    if several and in_grid:
        raise UserError(
            f"trainer.devices={devices}: in a grid, each additional process would start the whole grid again. Use "
            "trainer.devices=1 there, and trainer=ddp for a single run."
        )
    if in_grid and starter():
        raise UserError(f"{starter()} starts this grid in each of its processes: start a grid without {starter()}.")
    if several and "ddp" not in str(trainer.get("strategy")):
        option = f"trainer.devices={shown(OmegaConf.to_container(devices) if OmegaConf.is_list(devices) else devices)}"
        options = f"{shlex.quote(option)} trainer.num_nodes={nodes}" if nodes > 1 else shlex.quote(option)
        raise UserError(f"{option}: several devices need trainer=ddp {options}.")
    if several and seed is None:
        raise UserError("seed=null: several devices divide one order of the images, which needs a seed: set one.")
    _check_machines(devices, nodes)


def _check_machines(devices: Any, nodes: int) -> None:
    """Refuse other numbers of machines and devices than those for which torchrun or srun has started processes."""
    started = processes_started_together()
    if nodes > 1 and not started:
        raise UserError(
            f"trainer.num_nodes={nodes}: start the same command on each machine with torchrun or srun, as "
            "docs/grids.md shows."
        )
    if started and started != (nodes, len(devices) if OmegaConf.is_list(devices) else devices):
        machines, processes = started
        raise UserError(
            f"{starter()} has started {processes} processes on each of {machines} machines: add trainer=ddp "
            f"trainer.devices={processes} trainer.num_nodes={machines}."
        )


def check_validation(cfg: DictConfig, has_validation: bool, sweeps_score: bool) -> None:
    """Refuse options that need a validation set if there is none.

    Raises:
        UserError: One line that names the option and the cure.
    """
    if has_validation and cfg.trainer.limit_val_batches != 0:
        return
    if "ReduceLROnPlateau" in str(cfg.scheduler.get("_target_")):
        needs, without = "scheduler=plateau needs a validation set", " Or use scheduler=none."
    elif cfg.callbacks.get("early_stopping"):
        needs, without = "Early stopping needs a validation set", " Or leave callbacks=early_stopping out."
    elif cfg.predict.no_lesion is not False:
        needs, without = "predict.no_lesion needs a validation set", " Or use predict.no_lesion=false."
    elif sweeps_score:
        needs, without = "A search needs a validation set for its score", ""
    else:
        return
    if has_validation:
        raise UserError(f"{needs}, but trainer.limit_val_batches=0 turns it off: set another limit, or null.")
    cures = {
        "file": f"fill the list val of data.split.file={cfg.data.split.file}.",
        "published": "use data.split.method=grouped.",
    }
    usual = "data.split.val_from_train=1 takes a part of the training images for it."
    raise UserError(f"{needs}, and this split has none: {cures.get(cfg.data.split.method, usual)}{without}")
