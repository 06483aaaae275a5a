"""Evaluate the kept checkpoints of runs, on any part of any split of any data folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch.callbacks import RichProgressBar
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bus_lightning.config.limits import at_least_one_batch
from bus_lightning.config.settle import uses_masks
from bus_lightning.config.trusted import TRAINER
from bus_lightning.core.errors import DamagedError, UserError, disk_trouble
from bus_lightning.core.files import is_there
from bus_lightning.core.workarounds import convert_before_loading
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import find_root
from bus_lightning.data.levels import Scale, widest
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.splits import PARTS, Split, load_split, make_named_split
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.weights import load_kept_weights
from bus_lightning.runs.finished import FinishedRun, find_runs, open_run
from bus_lightning.runs.folder import RunDir, groups_near
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.runs.seen import Seen, holds_the_data_of, seen_images
from bus_lightning.runs.sets import write_sets
from bus_lightning.runs.table import collect, show
from bus_lightning.training.fit import announce_label_in_input, build_task, build_trainer, evaluate_parts
from bus_lightning.training.hardware import choose_hardware

log = logging.getLogger(__name__)
_CHOICES = (None, "own", "all", "unseen")  # of cfg.split; anything else is a file


def evaluate_runs(cfg: DictConfig) -> None:
    """Evaluate the runs that `cfg.runs` names and print their table.

    Raises:
        UserError: If no run matches, or a part, a split or an option of the heat maps is wrong.
    """
    if cfg.part not in (*PARTS, "all"):
        raise UserError(f"part={cfg.part} is unknown: choose one of {', '.join(PARTS)}, all.")
    if cfg.get("explain"):
        from bus_lightning.explain.heatmaps import Settings

        Settings(**cfg.explain_options)  # refuses wrong options before the first evaluation
    if cfg.split not in _CHOICES and not Path(cfg.split).is_file():
        raise UserError(f"split={cfg.split}: choose own, all or unseen, or give a split file; no such file exists.")
    if OmegaConf.is_missing(cfg, "runs"):
        raise UserError(f"runs has no value: name run folders.{_name_groups(Path('runs'))}")
    runs = [run for run in find_runs(str(cfg.runs)) if is_there(run.best)]
    if not runs:
        cure = _name_groups(Path(str(cfg.runs).partition("*")[0]))
        raise UserError(f"runs={cfg.runs} matches no run folder with a kept checkpoint (checkpoints/best.ckpt).{cure}")
    results: dict[Path, Path] = {}
    refused: dict[str, str | None] = {}
    for run in runs:
        try:
            with _in_one_line(run):
                results[run.path] = evaluate_run(run, cfg).path
        except UserError as error:
            log.error("%s", error)
            results[run.path], refused[str(run.path)] = run.path, str(error)
    title = f"Evaluation, part '{cfg.part}'"
    show(collect(list(results), cfg.part, list(results.values()), refused), title=title)
    if refused:
        raise UserError(f"{len(refused)} of {len(runs)} runs could not be evaluated.")


@contextmanager
def _in_one_line(run: RunDir) -> Iterator[None]:
    """Describe in one line what a run's config lacks, and a folder that cannot be read or written."""
    try:
        yield
    except OmegaConfBaseException as error:
        raise DamagedError(run.config, f"it is not the config of a run ({error})") from error
    except KeyError as error:  # of a group that is read as a plain mapping
        raise DamagedError(run.config, f"it is not the config of a run (it lacks {error})") from error
    except OSError as error:
        if trouble := disk_trouble(error, {"runs": run.path} | run.config_folders()):
            raise UserError(trouble) from error
        raise


def _name_groups(path: Path) -> str:
    """Write how to name the groups of runs near a path."""
    known = [f"runs='{group}/*'" for group in groups_near(path)]
    return f" Try {' or '.join(known)}." if known else " Give folders such as runs='runs/GROUP/*'."


def evaluate_run(run: RunDir, cfg: DictConfig) -> RunDir:
    """Evaluate one run's kept checkpoint.

    Args:
        run: The run.
        cfg: The config of `evaluate.py`.

    Returns:
        The folder of the evaluation within the run's, with `cases.csv` and `metrics.json`.
    """
    opened = open_run(run.path, complete=False, trusted=cfg.get("trusted_packages") or ())
    config = _settle(opened.config, cfg)
    prepared, split = _find_images(opened, config, cfg)
    # As it was trained, even where `auto` would choose otherwise now; where the images lie changes no bit of a test.
    before = {key: value for key, value in opened.status.items() if key != "on_device"}
    hardware = choose_hardware(config, before, images=len(prepared.frame))
    datamodule = BusDataModule(prepared, split, config, config.task.name != "classification", hardware.home_of_images)
    task = build_task(config, datamodule, hardware, starts=False, origin=opened.origin)
    shows_bar = bool(cfg.progress and config.callbacks.get("progress"))
    parts = [part for part in PARTS if split.part(part)] if cfg.part == "all" else [cfg.part]
    sizes = {part: len(split.part(part)) for part in parts}
    # Every part but `val` runs through the test loop: a share of batches has to be enough for the smallest of them.
    sizes["test"] = min((size for part, size in sizes.items() if part != "val"), default=sizes.get("val", 0))
    limits = at_least_one_batch(config.trainer, sizes, config.data.batch_size)
    bars = [RichProgressBar(leave=False)] if shows_bar else []  # not the run's own callback, which could be any class
    options = limits | {"logger": False, "callbacks": bars, "enable_progress_bar": shows_bar}
    trainer = build_trainer(config.trainer, hardware, opened.origin, **options)
    convert_before_loading(trainer, task)
    load_kept_weights(task.net, run.best)
    announce_label_in_input(config.overlay, parts)
    with torch.inference_mode():
        cases, metrics = evaluate_parts(trainer, task, datamodule, parts)
    if cfg.part == "all":
        metrics["all"] = metrics_of(cases)
    name = f"{cfg.part}-{prepared.content[:8]}-{split.hash[:8]}"
    out = RunDir(run.path / "evaluations" / name)
    out.path.mkdir(parents=True, exist_ok=True)
    split.save(out.split)
    write_sets(out, prepared, split, opened, _count_seen(opened, prepared, split))
    out.write_cases(cases)
    out.record_evaluation(run)
    out.write_metrics(metrics)
    if cfg.get("explain"):
        from bus_lightning.explain.explain_run import explain_run

        # Heat maps of other images than the run's are written to their evaluation.
        place = (run if split is opened.split and cfg.split in (None, "own") else out).path / "explain"
        explain_run(
            config, task, datamodule, hardware.device, cfg.explain_options, place, run.best, cfg.progress, opened.origin
        )
    return out


def _settle(config: DictConfig, cfg: DictConfig) -> DictConfig:
    """Return a copy of a run's config for its evaluation on this machine.

    Args:
        config: The run's config.
        cfg: The config of `evaluate.py`.

    Raises:
        UserError: If `cfg.data.root` is not a data folder.
    """
    settled = config.copy()
    # The split names the images; what was left out of the training does not matter any more.
    settled.data.exclude, settled.data.drop_conflicts = None, False
    settled.data.skip_unreadable = settled.data.skip_unreadable or cfg.data.skip_unreadable
    if cfg.data.root:
        settled.data.root, settled.data.phantom, settled.data.mistake = str(find_root(cfg.data.root)), None, None
    if settled.trainer.limit_val_batches == 0:  # applies to the training only
        settled.trainer.limit_val_batches = None
    # Strategies, profilers and the like belong to the training.
    settled.trainer = {key: value for key, value in settled.trainer.items() if not OmegaConf.is_config(value)}
    settled.trainer.update(_target_=TRAINER, accelerator="auto", devices=1, profiler=None, default_root_dir=None)
    settled.model.weights = None  # the checkpoint holds them all
    return settled


def _find_images(run: FinishedRun, config: DictConfig, cfg: DictConfig) -> tuple[PreparedData, Split]:
    """Read the images of an evaluation, and split them.

    Args:
        run: The run.
        config: Its config, settled for the evaluation.
        cfg: The config of `evaluate.py`.
    """
    path, is_other_data = run.folder.path, bool(cfg.data.root) or cfg.split in ("all", "unseen")
    named = run.split if cfg.split in _CHOICES else load_split(Path(cfg.split))
    data = config.data.copy()
    if cfg.data.root:  # another folder may lack a class
        data.classes = [name for name in run.classes if (Path(data.root) / name).is_dir()] or run.classes
    only = None if is_other_data else named.part("all")
    prepared = prepare_data(data, config.task.name != "classification", only, uses_masks(config))
    # The images are not read on a smaller scale than the training images, which would brighten them.
    prepared = replace(prepared, scale=widest([prepared.scale, Scale(**run.status.get("scale") or {})]))
    prepared.frame["label"] = prepared.frame["class"].map(run.classes.index)
    split = _split_for(run, named, cfg, prepared)
    if outside := [id_ for id_ in split.part("all") if id_.partition("/")[0] not in data.classes]:
        raise DamagedError(run.folder.config, f"data.classes lacks the class of '{outside[0]}', which split.json has")
    log.info("%s: evaluating %d images", path, len(split.part(cfg.part)))
    if not split.part(cfg.part):
        raise UserError(f"{path}: the part '{cfg.part}' of its split has no images.")
    if config.overlay.source != "predicted":
        return prepared, split
    if is_other_data:
        raise UserError(
            f"{path}: its input needs the masks of segmenters, which exist for its own images only. For others, make a "
            "bundle: python -m bus_lightning.export."
        )
    return with_predicted_masks(prepared, split, config.overlay, config.data.split.cross_fold is not None), split


def _split_for(run: FinishedRun, named: Split, cfg: DictConfig, prepared: PreparedData) -> Split:
    """Return the run's split, the one that the user names, or every image of another data folder.

    Raises:
        UserError: If images are missing, or the run has seen some of them in training and `split` does not say how to
            treat them.
    """
    path, known = run.folder.path, set(prepared.frame["id"])
    is_own = holds_the_data_of(run.folder, prepared.content)
    if cfg.split in (None, "own") and is_own:
        return named
    seen = seen_images(run.folder, run.config.data, run.split, prepared)
    if cfg.split not in _CHOICES:
        if missing := set(named.part("all")) - known:
            raise UserError(f"split={cfg.split}: '{min(missing)}' is not in {prepared.root} ({len(missing)} such ids).")
        _warn(path, [id_ for id_ in named.test if id_ in seen.images], len(named.test), seen)
        return named
    if cfg.split == "own":
        parts = {part: [id_ for id_ in named.part(part) if id_ in known] for part in PARTS}
        learnt_groups = {named.groups[id_] for id_ in named.train + named.val}
        # A random split may have near-duplicates in two parts; any other match is a foreign image.
        foreign = [id_ for id_ in parts["test"] if id_ in seen.images and named.groups[id_] not in learnt_groups]
        if foreign and seen.by_pixels:
            raise UserError(
                f"split=own: the run has seen {len(foreign)} of the test images of {prepared.root} in training (such "
                f"as '{foreign[0]}', which shows '{seen.images[foreign[0]]}'), so the ids do not name the same images. "
                "Use split=unseen or split=all."
            )
        return make_named_split(parts, named.method, prepared.groups)
    if cfg.split is None and seen.images:
        _refuse(path, seen, prepared)
    tested = sorted(known - seen.images.keys()) if cfg.split == "unseen" else sorted(known)
    if not tested:
        raise UserError(
            f"split=unseen: {path} has seen every image of {prepared.root} in training: choose another data.root."
        )
    _warn(path, [id_ for id_ in tested if id_ in seen.images], len(tested), seen)
    log.info("%s: %d of the %d images of %s are test images", path, len(tested), len(known), prepared.root)
    return make_named_split({"train": [], "val": [], "test": tested}, "file", prepared.groups)


def _count_seen(run: FinishedRun, prepared: PreparedData, split: Split) -> int:
    """Count the test images that a run has seen in training or validation, unless the parts are its own."""
    if split is run.split:
        return 0
    seen = seen_images(run.folder, run.config.data, run.split, prepared)
    return len(seen.images.keys() & set(split.test))


def _refuse(path: Path, seen: Seen, prepared: PreparedData) -> None:
    """Refuse a folder with images that the run has seen, if `split` does not say how to treat them."""
    example, number = min(seen.images), len(seen.images)
    if seen.by_pixels:
        raise UserError(
            f"{prepared.root}: {path} has seen {number} of its {len(prepared.frame)} images in training or "
            f"validation ('{example}' shows '{seen.images[example]}'): pass split=unseen (test only the others), "
            "split=all (test all images anyway) or split=own (the ids are the same images: use the run's parts)."
        )
    raise UserError(
        f"{prepared.root} holds other files than the run was trained on, but {number} of its ids are among the "
        "training and validation images: pass split=own (the ids are the same images: use the run's parts) or "
        "split=all (they are other images)."
    )


def _warn(path: Path, ids: list[str], number: int, seen: Seen) -> None:
    """Warn if the run has seen test images, so that the scores are too good."""
    if ids:
        log.warning(
            "%s: the run has seen %d of %d test images in training or validation ('%s' shows '%s'): the scores are too "
            "good.", path, len(ids), number, ids[0], seen.images[ids[0]],
        )  # fmt: skip
