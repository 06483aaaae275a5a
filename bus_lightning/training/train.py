"""One run: take its folder up, skip it when it is complete, go on with it when it is not."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.config.build import check, check_validation, load_config, save_config, settle_overlay, uses_masks
from bus_lightning.core.errors import OccupiedError, UserError, disk_trouble
from bus_lightning.core.ranks import is_first_process
from bus_lightning.data.fingerprints import share_file
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.preprocess import RULES
from bus_lightning.data.splits import Split
from bus_lightning.launch.command_line import launch_name
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.runs.record import recorded

log = logging.getLogger(__name__)


def run(cfg: DictConfig, optimised: bool = False, in_grid: bool = False) -> float | None:
    """Train, test and write one run's folder; skip it when it is complete, go on with it when it is not.

    Args:
        cfg: The composed config, with its `name` set.
        optimised: Whether a sweeper optimises the returned score.
        in_grid: Whether the run is a job of a grid.

    Returns:
        Validation score of the kept epoch, which a sweeper optimises; None where there is no validation set.

    Raises:
        UserError: For what the user can mend; the traceback is in the run's `error.txt`.
    """
    score = _run(cfg, optimised, in_grid)
    if optimised and score is None:
        raise UserError(
            f"{cfg.task.monitor} is undefined in every epoch, so the search gets no score from this run: validate on "
            "images of all classes (data.split, trainer.limit_val_batches), or set another task.monitor."
        )
    return score


def _run(cfg: DictConfig, optimised: bool, in_grid: bool) -> float | None:
    folder = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    chose_rules = cfg.preprocess.rules is not None
    if not is_first_process():  # of several that train one network: the first one keeps the record
        settle_rules(cfg, folder)
        return _train(cfg, folder, *_prepare(cfg, optimised, in_grid))
    # A job that Slurm or Ray starts again within one launch goes on.
    launch = launch_name()
    afresh = cfg.rerun and not folder.was_started_by(launch)
    # The inner context names the option in the recorded error; the outer one does so if the record cannot be written.
    with _naming_options(cfg), recorded(folder, cfg.model.name, afresh, cfg.debug_run) as record, _naming_options(cfg):
        settle_rules(cfg, folder)
        prepared, split = _prepare(cfg, optimised, in_grid)
        hashes = {"data": prepared.content, "split": split.hash}
        if prepared.predicted_by:
            hashes["masks"] = prepared.predicted_by
        hashes |= _hash_of_weights(cfg.model.weights)
        if _is_done(folder, cfg, hashes):
            log.info("%s: complete, skipped", folder.path)
            return folder.status.get("score")
        if not chose_rules and cfg.preprocess.rules != RULES:
            log.info("%s: has begun with preprocess.rules=%d, and keeps them", folder.path, cfg.preprocess.rules)
        log.info("%s: %s", folder.path, "going on" if folder.last.is_file() else "starting")
        if folder.config.is_file() and not folder.is_debug_run:
            cfg.debug_run = False  # it goes on with a run that must not be removed
        save_config(cfg, folder.config)
        split.save(folder.split)
        if prepared.fingerprints:
            share_file(prepared.fingerprints, folder.fingerprints)
        folder.start(**hashes, launch=launch, scale=asdict(prepared.scale))
        record.taken_up = True
        return _train(cfg, folder, prepared, split)


def settle_rules(cfg: DictConfig, folder: RunDir) -> None:
    """Take the rules of cleaning and resizing that a folder's run has begun with, where none are chosen; else ours.

    Args:
        cfg: The config that is to be run; it is changed.
        folder: Where it is to be run.

    Raises:
        DamagedError: When the folder's config cannot be read.
    """
    if cfg.preprocess.rules is None:
        cfg.preprocess.rules = load_config(folder.config).preprocess.rules if folder.config.is_file() else RULES


@contextmanager
def _naming_options(cfg: DictConfig) -> Iterator[None]:
    """Name the option of the folder in an error about a file that is missing or cannot be written."""
    folders = {"runs_dir": Path(cfg.runs_dir), "data.cache": Path(cfg.data.cache)}
    if cfg.data.phantom:
        folders["data.root"] = Path(cfg.data.root)
    try:
        yield
    except OSError as error:
        if trouble := disk_trouble(error, folders):
            raise UserError(trouble) from error
        raise


def _prepare(cfg: DictConfig, optimised: bool, in_grid: bool) -> tuple[PreparedData, Split]:
    """Check the config, read the data, and split them."""
    check(cfg, optimised, in_grid)
    settle_overlay(cfg)
    prepared = prepare_data(cfg.data, needs_masks=cfg.task.name != "classification", uses_masks=uses_masks(cfg))
    cfg.data.classes, cfg.data.num_classes = prepared.classes, len(prepared.classes)
    if cfg.task.name != "segmentation" and len(prepared.classes) < 2:
        raise UserError(f"{prepared.root} has one class, {prepared.classes[0]}: {cfg.task.name} needs at least two.")
    split = prepared.split(cfg.data.split)
    check_validation(cfg, bool(split.val), optimised)
    if cfg.overlay.source == "predicted":
        prepared = with_predicted_masks(prepared, split, cfg.overlay, cfg.data.split.cross_fold is not None)
    return prepared, split


def _hash_of_weights(file: str | None) -> dict[str, str]:
    """Hash the weights file that a run starts from, if there is one, because the file may be replaced later."""
    if not file or not Path(file).is_file():
        return {}
    with open(file, "rb") as stream:
        return {"weights": hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()}


def _train(cfg: DictConfig, folder: RunDir, prepared: PreparedData, split: Split) -> float | None:
    from bus_lightning.training.fit import train_and_test  # not for a finished run, which needs no torch
    from bus_lightning.training.gpus import gpu_of_its_own

    with gpu_of_its_own(cfg):
        return train_and_test(cfg, folder, prepared, split)


def _is_done(folder: RunDir, cfg: DictConfig, hashes: dict[str, str]) -> bool:
    """Decide whether a run is complete; make room for it when it has to start afresh.

    Raises:
        UserError: When the folder holds another experiment, or a longer training than the one asked for.
    """
    if not folder.config.is_file():
        return False
    kept = load_config(folder.config)
    if differences := folder.differences(kept, cfg, hashes):
        raise OccupiedError(
            f"{folder.path} holds another experiment: it differs in {'; '.join(differences[:3])}. "
            "Choose another name=..., or pass rerun=true to move the old folder aside."
        )
    asked, before = cfg.trainer.max_epochs, kept.trainer.max_epochs
    if folder.is_complete and asked <= before:
        if asked < before:
            log.info("%s: was trained for up to %d epochs, more than the %d asked for", folder.path, before, asked)
        if folder.status.get("state") != "complete":  # killed between its last file and its last word
            folder.update_status(state="complete", model=cfg.model.name, error=None, kind=None)
            folder.error.unlink(missing_ok=True)
            if not cfg.keep_last:
                folder.last.unlink(missing_ok=True)
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
        log.info("%s: %d epochs instead of %d, from the start, because last.ckpt was not kept (keep_last=true keeps "
                 "it); %s", folder.path, asked, before, folder.make_room(cfg.debug_run))  # fmt: skip
    return False
