"""Evaluate kept checkpoints from their own folders, on any part of any split of any data folder."""

import glob
import logging
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build, load_config, uses_masks
from bus_lightning.config.limits import at_least_one_batch
from bus_lightning.core.errors import UserError
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import find_root
from bus_lightning.data.levels import Scale, widest
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.splits import PARTS, Split, load_split, make_named_split
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.weights import load_kept_weights
from bus_lightning.runs.folder import RunDir, groups_near
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.runs.seen import Seen, holds_the_data_of, seen_images
from bus_lightning.runs.table import collect, show
from bus_lightning.training.fit import announce_label_in_input, build_task, build_trainer, evaluate_parts
from bus_lightning.training.hardware import choose_hardware

log = logging.getLogger(__name__)
_CHOICES = (None, "own", "all", "unseen")  # of cfg.split; anything else is a file


def evaluate_runs(cfg: DictConfig) -> None:
    """Evaluate the runs that `cfg.runs` names and print their table.

    Raises:
        UserError: When no run is there, or a part, a split or an option of the heat maps makes no sense.
    """
    if cfg.part not in (*PARTS, "all"):
        raise UserError(f"part={cfg.part} is unknown: choose one of {', '.join(PARTS)}, all.")
    if cfg.get("explain"):
        from bus_lightning.explain.heatmaps import Settings

        Settings(**cfg.explain_options)  # what it refuses is refused before the first run is evaluated
    if cfg.split not in _CHOICES and not Path(cfg.split).is_file():
        raise UserError(f"split={cfg.split}: choose own, all or unseen, or give a split file; no such file exists.")
    if OmegaConf.is_missing(cfg, "runs"):
        raise UserError(f"runs has no value: name run folders.{_name_groups(Path('runs'))}")
    runs = [RunDir(Path(path)) for path in sorted(glob.glob(str(cfg.runs)))]
    runs = [run for run in runs if run.best.is_file() and ".old-" not in run.path.name]
    if not runs:
        cure = _name_groups(Path(str(cfg.runs).partition("*")[0]))
        raise UserError(f"runs={cfg.runs} matches no run folder with a kept checkpoint (checkpoints/best.ckpt).{cure}")
    results: dict[Path, Path] = {}
    refused: dict[str, str | None] = {}
    for run in runs:
        try:
            results[run.path] = evaluate_run(run, cfg).path
        except UserError as error:
            log.error("%s", error)
            results[run.path], refused[str(run.path)] = run.path, str(error)
    title = f"Evaluation, part '{cfg.part}'"
    show(collect(list(results), cfg.part, list(results.values()), refused), title=title)
    if refused:
        raise UserError(f"{len(refused)} of {len(runs)} runs could not be evaluated.")


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
    own = load_config(run.config)
    classes = list(own.data.classes)
    named = load_split(run.split if cfg.split in _CHOICES else Path(cfg.split))
    trained_on = own.copy()
    # On the run's own data the split names the images; what was left out in training does not matter any more.
    own.data.exclude, own.data.drop_conflicts = None, False
    own.data.skip_unreadable = own.data.skip_unreadable or cfg.data.skip_unreadable
    only = None if cfg.data.root or cfg.split in ("all", "unseen") else named.part("all")
    if cfg.data.root:
        root = find_root(cfg.data.root)
        own.data.root, own.data.phantom, own.data.mistake = str(root), None, None
        own.data.classes = [name for name in classes if (root / name).is_dir()] or classes
    prepared = prepare_data(
        own.data, needs_masks=own.task.name != "classification", only=only, uses_masks=uses_masks(own)
    )
    # The images are not read on a smaller scale than the training images, which would brighten them.
    prepared = replace(prepared, scale=widest([prepared.scale, Scale(**run.status.get("scale", {}))]))
    prepared.frame["label"] = prepared.frame["class"].map(classes.index)
    own.data.classes = classes
    split = _split_for(run, trained_on, named, cfg, prepared)
    log.info("%s: evaluating %d images", run.path, len(split.part(cfg.part)))
    if not split.part(cfg.part):
        raise UserError(f"{run.path}: the part '{cfg.part}' of its split has no images.")

    if own.overlay.source == "predicted":
        if cfg.data.root or cfg.split in ("all", "unseen"):
            raise UserError(
                f"{run.path}: its input needs the masks of segmenters, which there are for its own images only. For "
                "others, make a bundle: python -m bus_lightning.export."
            )
        prepared = with_predicted_masks(prepared, split, own.overlay, own.data.split.cross_fold is not None)
    if own.trainer.limit_val_batches == 0:  # applied only to the training
        own.trainer.limit_val_batches = None
    own.trainer.accelerator, own.trainer.devices = "auto", 1  # this machine's, not that of the training
    # As it was trained, even where `auto` would choose otherwise now; where the images lie changes no bit of a test.
    before = {key: value for key, value in run.status.items() if key != "on_device"}
    hardware = choose_hardware(own, before, images=len(prepared.frame))
    datamodule = BusDataModule(prepared, split, own, own.task.name != "classification", hardware.home_of_images)
    own.model.weights = None  # the checkpoint holds them all
    task = build_task(own, datamodule, hardware, starts=False, trains=False)
    bar = own.callbacks.get("progress") if cfg.progress else None
    parts = [part for part in PARTS if split.part(part)] if cfg.part == "all" else [cfg.part]
    sizes = {part: len(split.part(part)) for part in parts}
    # Every part but `val` runs through the test loop: a share of batches has to be enough for the smallest of them.
    sizes["test"] = min((size for part, size in sizes.items() if part != "val"), default=sizes.get("val", 0))
    limits = at_least_one_batch(own.trainer, sizes, own.data.batch_size)
    trainer = build_trainer(
        own, hardware, logger=False, callbacks=[build(bar)] if bar else [], enable_progress_bar=bool(bar), **limits
    )
    trainer.precision_plugin.convert_module(task)  # before loading, because weights of 64-true would be rounded
    load_kept_weights(task.net, run.best)
    announce_label_in_input(own, parts)
    with torch.inference_mode():
        cases, metrics = evaluate_parts(trainer, task, datamodule, parts)
    if cfg.part == "all":
        metrics["all"] = metrics_of(cases)
    name = f"{cfg.part}-{prepared.content[:8]}-{split.hash[:8]}"
    out = RunDir(run.path / "evaluations" / name)
    out.path.mkdir(parents=True, exist_ok=True)
    split.save(out.split)
    out.write_cases(cases)
    out.write_metrics(metrics)
    if cfg.get("explain"):
        from bus_lightning.explain.explaining import explain_run

        # Heat maps of other images than the run's own lie with their evaluation.
        owner = run if split is named and cfg.split in (None, "own") else out
        place = owner.path / "explain"
        explain_run(own, task, datamodule, hardware.device, cfg.explain_options, place, run.best, cfg.progress)
    return out


def _split_for(run: RunDir, own: DictConfig, named: Split, cfg: DictConfig, prepared: PreparedData) -> Split:
    """Take the run's own split, the one that the user names, or every image of another data folder.

    Raises:
        UserError: When images are missing, or the run has seen some of them in training and `split` does not say what
            to do with them.
    """
    known = set(prepared.frame["id"])
    is_own = holds_the_data_of(run, prepared.content)
    if cfg.split in (None, "own") and is_own:
        return named
    of_run = named if cfg.split in _CHOICES else load_split(run.split)
    seen = seen_images(run, own, of_run, prepared)
    if cfg.split not in _CHOICES:
        if missing := set(named.part("all")) - known:
            raise UserError(
                f"split={cfg.split}: '{min(missing)}' is not in {prepared.root} ({len(missing)} ids are not)."
            )
        _warn(run, [id_ for id_ in named.test if id_ in seen.images], len(named.test), seen)
        return named
    if cfg.split == "own":
        parts = {part: [id_ for id_ in named.part(part) if id_ in known] for part in PARTS}
        learnt = {named.groups[id_] for id_ in named.train + named.val}
        # A random split may put near-duplicates in two parts, which is known; any other match is a foreign image.
        other = [id_ for id_ in parts["test"] if id_ in seen.images and named.groups[id_] not in learnt]
        if other and seen.by_pixels:
            raise UserError(
                f"split=own: the run has seen {len(other)} of the test images of {prepared.root} in training (such as "
                f"'{other[0]}', which shows '{seen.images[other[0]]}'), so the ids do not name the same images. Use "
                "split=unseen or split=all."
            )
        return make_named_split(parts, named.method, prepared.groups)
    if cfg.split is None and seen.images:
        _refuse(run, seen, prepared)
    tested = sorted(known - seen.images.keys()) if cfg.split == "unseen" else sorted(known)
    if not tested:
        raise UserError(
            f"split=unseen: {run.path} has seen every image of {prepared.root} in training: choose another data.root."
        )
    _warn(run, [id_ for id_ in tested if id_ in seen.images], len(tested), seen)
    log.info("%s: %d of the %d images of %s are test images", run.path, len(tested), len(known), prepared.root)
    return make_named_split({"train": [], "val": [], "test": tested}, "file", prepared.groups)


def _refuse(run: RunDir, seen: Seen, prepared: PreparedData) -> None:
    """Refuse a folder with images that the run has seen, because `split` does not say what to do with them."""
    example, number = min(seen.images), len(seen.images)
    if seen.by_pixels:
        raise UserError(
            f"{prepared.root}: {run.path} has seen {number} of its {len(prepared.frame)} images in training or "
            f"validation ('{example}' shows '{seen.images[example]}'): pass split=unseen (test only the others), "
            "split=all (test all images anyway) or split=own (the ids are the same images: use the run's parts)."
        )
    raise UserError(
        f"{prepared.root} holds other files than the run was trained on, but {number} of its ids are among the "
        "training and validation images: pass split=own (the ids are the same images: use the run's parts) or "
        "split=all (they are other images)."
    )


def _warn(run: RunDir, ids: list[str], number: int, seen: Seen) -> None:
    """Warn that the run has seen some test images, so that the scores are too good."""
    if ids:
        log.warning(
            "%s: the run has seen %d of %d test images in training or validation ('%s' shows '%s'): the scores are too "
            "good.", run.path, len(ids), number, ids[0], seen.images[ids[0]],
        )  # fmt: skip
