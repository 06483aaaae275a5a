"""One run: take its folder up, skip it when it is complete, go on with it when it is not."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.command_line import launch_name
from bus_lightning.config import check, check_validation, load_config, save_config, settle_overlay
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.splits import Split
from bus_lightning.errors import OccupiedError, UserError
from bus_lightning.predicted import with_predicted_masks
from bus_lightning.ranks import is_first_process
from bus_lightning.recording import recorded
from bus_lightning.run_dir import RunDir

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
    folder = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    if not is_first_process():  # of several that train one network: the first one keeps the record
        return _train(cfg, folder, *_prepare(cfg, optimised, in_grid))
    # A job that Slurm or Ray starts again within one launch goes on.
    launch = launch_name()
    with recorded(folder, cfg.model.name, afresh=cfg.rerun and not folder.was_started_by(launch)) as record:
        prepared, split = _prepare(cfg, optimised, in_grid)
        hashes = {"data": prepared.content, "split": split.hash}
        if prepared.predicted_by:
            hashes["masks"] = prepared.predicted_by
        if _is_done(folder, cfg, hashes):
            log.info("%s: complete, skipped", folder.path)
            return folder.status.get("score")
        log.info("%s: %s", folder.path, "going on" if folder.last.is_file() else "starting")
        save_config(cfg, folder.config)
        split.save(folder.split)
        folder.start(**hashes, launch=launch)
        record.taken_up = True
        return _train(cfg, folder, prepared, split)


def _prepare(cfg: DictConfig, optimised: bool, in_grid: bool) -> tuple[PreparedData, Split]:
    """Check the config, read the data, and split them."""
    check(cfg, optimised, in_grid)
    settle_overlay(cfg)
    prepared = prepare_data(cfg.data, needs_masks=cfg.task.name != "classification")
    cfg.data.classes, cfg.data.num_classes = prepared.classes, len(prepared.classes)
    if cfg.task.name != "segmentation" and len(prepared.classes) < 2:
        raise UserError(f"{prepared.root} has one class, {prepared.classes[0]}: {cfg.task.name} needs at least two.")
    split = prepared.split(cfg.data.split)
    check_validation(cfg, bool(split.val), optimised)
    if cfg.overlay.source == "predicted":
        prepared = with_predicted_masks(prepared, split, cfg.overlay, cfg.data.split.cross_fold is not None)
    return prepared, split


def _train(cfg: DictConfig, folder: RunDir, prepared: PreparedData, split: Split) -> float | None:
    from bus_lightning.fitting import train_and_test  # not for a finished run, which needs no torch
    from bus_lightning.gpus import gpu_of_its_own

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
        old = folder.set_aside()
        log.info("%s: %d epochs instead of %d, from the start, for last.ckpt was not kept (keep_last=true keeps it); "
                 "the old folder is now %s", folder.path, asked, before, old.name)  # fmt: skip
    return False
