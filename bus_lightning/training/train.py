"""One run: decide what happens with its folder, then skip it, continue it or start it."""

import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.rules import check, check_validation
from bus_lightning.config.settle import settle, uses_masks, with_images
from bus_lightning.config.stored import load_config, save_config
from bus_lightning.core.errors import OccupiedError, UserError, disk_trouble
from bus_lightning.core.garbage import collection_paused
from bus_lightning.core.ranks import is_first_process
from bus_lightning.core.reading import open_regular
from bus_lightning.data.fingerprints import share_file
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.preprocess import RULES
from bus_lightning.data.sources.source_index import NO_CLASS
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.runs.protocol import keep_protocol, list_deviations, read_protocol
from bus_lightning.runs.record import recorded
from bus_lightning.runs.sets import write_sets
from bus_lightning.training.agreement import announce_decision, await_decision, open_store
from bus_lightning.training.decide import Action, Decision, decide, must_restart, read_kept
from bus_lightning.training.prepared_run import PreparedRun

log = logging.getLogger(__name__)


def run(cfg: DictConfig, optimised: bool = False, in_grid: bool = False, launch: str | None = None) -> float | None:
    """Train, test and write one run's folder; skip it if it is complete, continue it if it is not.

    Args:
        cfg: The composed config, with its `name` set; it is not changed.
        optimised: Whether a sweeper optimises the returned score.
        in_grid: Whether the run is a job of a grid.
        launch: Name of this launch of the command, the same for a job that is started again within it.

    Returns:
        Validation score of the kept epoch, which a sweeper optimises; None without a validation set.

    Raises:
        UserError: For a mistake that the user can correct; the traceback is in the run's `error.txt`.
    """
    with _memory_released():
        score = _run(cfg, optimised, in_grid, launch)
    if optimised and score is None:
        raise UserError(
            f"{cfg.task.monitor} is undefined in every epoch, so the search gets no score from this run: validate on "
            "images of all classes (data.split, trainer.limit_val_batches), or set another task.monitor."
        )
    return score


def _run(cfg: DictConfig, optimised: bool, in_grid: bool, launch: str | None) -> float | None:
    folder = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    if not is_first_process():  # of several that train one network: the first one keeps the record
        if not await_decision():
            return None
        return _train(_prepare(cfg, folder, optimised, in_grid), folder, at_end=[])
    open_store()
    afresh = must_restart(cfg.rerun, launch, folder.launch)
    # The inner context names the option in the recorded error; the outer one does so if the record cannot be written.
    with _naming_options(cfg), recorded(folder, cfg.model.name, afresh, cfg.debug_run) as record, _naming_options(cfg):
        prepared = _prepare(cfg, folder, optimised, in_grid)
        hashes = prepared.hashes | _hash_of_weights(cfg.model.weights)
        decision = decide(read_kept(folder, prepared.config, hashes), cfg.trainer.max_epochs)
        _act(decision, folder, cfg)
        if decision.action is Action.SKIP:
            log.info("%s: complete, skipped", folder.path)
            announce_decision(is_trained=False)
            return folder.status.get("score")
        rules = prepared.config.preprocess.rules
        if cfg.preprocess.rules is None and rules != RULES:
            log.info("%s: was started with preprocess.rules=%d and keeps these rules", folder.path, rules)
        continues = folder.last.is_file()
        log.info("%s: %s", folder.path, "continuing" if continues else "starting")
        _write_start(prepared, folder)
        kept = keep_protocol(folder, prepared.protocol, continues)
        if prepared.protocol and (others := list_deviations(prepared.protocol, prepared.config)):
            log.warning("%s: not as planned in %s: %s", folder.path, cfg.protocol, "; ".join(others))
        folder.start(continues, **hashes, launch=launch, scale=asdict(prepared.data.scale), **kept)
        record.taken_up = True
        announce_decision(is_trained=True)
        return _train(prepared, folder, record.at_end)


def rules_for(cfg: DictConfig, folder: RunDir) -> int:
    """Choose the rules of cleaning and resizing: those of the config, else those of the folder's run, else the newest.

    Raises:
        DamagedError: If the folder's config cannot be read.
    """
    if cfg.preprocess.rules is not None:
        return int(cfg.preprocess.rules)
    return int(load_config(folder.config).preprocess.rules) if folder.config.is_file() else RULES


def _prepare(cfg: DictConfig, folder: RunDir, optimised: bool, in_grid: bool) -> PreparedRun:
    """Check and settle the config, read the images, and split them."""
    rules = rules_for(cfg, folder)
    check(cfg, optimised, in_grid)
    cfg = settle(cfg, rules)
    protocol = read_protocol(Path(cfg.protocol)) if cfg.protocol else None
    data = prepare_data(cfg.data, needs_masks=cfg.task.name != "classification", uses_masks=uses_masks(cfg))
    classes = data.classes
    if cfg.task.name != "segmentation":
        _refuse_classless(data, cfg.task.name)
    split = data.split(cfg.data.split, cfg.data.test)
    check_validation(cfg, bool(split.val), optimised)
    if cfg.overlay.source == "predicted":
        data = with_predicted_masks(data, split, cfg.overlay, cfg.data.split.cross_fold is not None)
    return PreparedRun(with_images(cfg, classes, data.segmenters), data, split, protocol)


def _refuse_classless(data: PreparedData, task: str) -> None:
    """Refuse images without a class, and images of one class only, where classes are predicted."""
    without = [each for each in data.sets if NO_CLASS in each.index.frame["class"].to_numpy()]
    if without and NO_CLASS in data.classes:
        named = " and ".join(str(each.root) for each in without)
        others = "" if len(data.sets) == len(without) else " leave this data set out,"
        raise UserError(
            f"{named} has no classes, which {task} needs: name them in a table (data=table),{others} or train a "
            "segmenter, such as model=u2net_lite."
        )
    if len(data.classes) < 2:
        raise UserError(f"{data.root} has one class, {data.classes[0]}: {task} needs at least two.")


def _act(decision: Decision, folder: RunDir, cfg: DictConfig) -> None:
    """Prepare a run's folder for what was decided.

    Raises:
        OccupiedError: If the folder is refused.
    """
    if decision.action is Action.REFUSE:
        raise OccupiedError(f"{folder.path} {decision.reason}")
    reason = decision.reason
    if decision.action is Action.SKIP and folder.status.get("state") != "complete":
        # It was killed after metrics.json, and before it could write its state.
        folder.finish("complete", time.monotonic(), model=cfg.model.name, error=None, kind=None)
        folder.error.unlink(missing_ok=True)
        if not cfg.keep_last:
            folder.last.unlink(missing_ok=True)
    elif decision.action is Action.EXTEND:
        folder.metrics_file.unlink()
    elif decision.action is Action.RESTART:
        reason += f"; {folder.make_room(cfg.debug_run)[1]}"
    if reason:
        log.info("%s: %s", folder.path, reason)


def _write_start(prepared: PreparedRun, folder: RunDir) -> None:
    """Write what is known of a run before its training."""
    config = prepared.config.copy()
    if folder.config.is_file() and not folder.is_debug_run:
        config.debug_run = False  # it continues a run that must not be removed
    save_config(config, folder.config)
    prepared.split.save(folder.split)
    write_sets(folder, prepared.data, prepared.split)
    if prepared.data.fingerprints:
        share_file(prepared.data.fingerprints, folder.fingerprints)


def _train(prepared: PreparedRun, folder: RunDir, at_end: list[Callable[[int], None]]) -> float | None:
    with collection_paused():  # here and not above: a finished run needs no torch
        _import_loggers(prepared.config.logger)
        from bus_lightning.training.fit import train_and_test
        from bus_lightning.training.gpus import one_gpu

    trainer = prepared.config.trainer
    with one_gpu(trainer.devices, trainer.accelerator) as devices:
        return train_and_test(prepared, folder, devices, at_end)


def _import_loggers(loggers: DictConfig) -> None:
    """Import the modules of the chosen loggers before torch.

    The import of W&B looks at all imported modules again and again, and torch brings thousands.
    """
    for logger in filter(None, loggers.values()):
        if module := str(logger._target_).rpartition(".")[0]:
            with suppress(ImportError):  # building the logger explains it
                import_module(module)


def _hash_of_weights(file: str | None) -> dict[str, str]:
    """Hash the weights file that a run starts from, if there is one, because the file may be replaced later."""
    if not file or not Path(file).is_file():
        return {}
    with open_regular(Path(file)) as stream:
        return {"weights": hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()}


@contextmanager
def _memory_released() -> Iterator[None]:
    """Give back the memory of a run when it has ended."""
    try:
        yield
    finally:
        if "torch" in sys.modules:  # a skipped run has not imported it
            from bus_lightning.training.hardware import release_memory

            release_memory()


@contextmanager
def _naming_options(cfg: DictConfig) -> Iterator[None]:
    """Name the option of the folder in an error about a file that is missing or cannot be written."""
    folders = {"runs_dir": Path(cfg.runs_dir), "data.cache": Path(cfg.data.cache)}
    if not OmegaConf.is_missing(cfg.data, "root") and cfg.data.root:
        folders["data.root"] = Path(cfg.data.root)
    try:
        yield
    except OSError as error:
        if trouble := disk_trouble(error, folders):
            raise UserError(trouble) from error
        raise
