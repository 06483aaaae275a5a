"""Evaluate kept checkpoints from their own folders, on any part of any split of any data folder."""

import glob
import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from bus_lightning.config import build, load_config
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import find_root
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.splits import PARTS, Split, load_split, make_named_split
from bus_lightning.errors import UserError
from bus_lightning.evaluation.metrics import metrics_of
from bus_lightning.evaluation.table import collect, show
from bus_lightning.fitting import announce_label_in_input, build_task, build_trainer, evaluate_parts
from bus_lightning.hardware import choose_hardware
from bus_lightning.models.weights import load_kept_weights
from bus_lightning.predicted import with_predicted_masks
from bus_lightning.run_dir import RunDir

log = logging.getLogger(__name__)


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
    runs = [RunDir(Path(path)) for path in sorted(glob.glob(str(cfg.runs)))]
    runs = [run for run in runs if run.best.is_file() and ".old-" not in run.path.name]
    if not runs:
        raise UserError(f"runs={cfg.runs} matches no run folder with a kept checkpoint (checkpoints/best.ckpt).")
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
    named = load_split(run.split if cfg.split in (None, "own", "all") else Path(cfg.split))
    # On the run's own data the split names the images; what was left out in training does not matter any more.
    own.data.exclude, own.data.drop_conflicts = None, False
    own.data.skip_unreadable = own.data.skip_unreadable or cfg.data.skip_unreadable
    only = None if cfg.data.root or cfg.split == "all" else named.part("all")
    if cfg.data.root:
        root = find_root(cfg.data.root)
        own.data.root, own.data.phantom, own.data.mistake = str(root), None, None
        own.data.classes = [name for name in classes if (root / name).is_dir()] or classes
    prepared = prepare_data(own.data, needs_masks=own.task.name != "classification", only=only)
    prepared.frame["label"] = prepared.frame["class"].map(classes.index)
    own.data.classes = classes
    split = _split_for(run, named, cfg, prepared)
    log.info("%s: evaluating %d images", run.path, len(split.part(cfg.part)))
    if not split.part(cfg.part):
        raise UserError(f"{run.path}: the part '{cfg.part}' of its split has no images.")

    if own.overlay.source == "predicted":
        if cfg.data.root or cfg.split == "all":
            raise UserError(
                f"{run.path}: its input needs the masks of segmenters, which there are for its own images only. For "
                "others, make a bundle: python -m bus_lightning.diagnosis.export."
            )
        prepared = with_predicted_masks(prepared, split, own.overlay, own.data.split.cross_fold is not None)
    own.trainer.accelerator, own.trainer.devices = "auto", 1  # this machine's, not that of the training
    # As it was trained, even where `auto` would choose otherwise now; where the images lie changes no bit of a test.
    before = {key: value for key, value in run.status.items() if key != "on_device"}
    hardware = choose_hardware(own, before, images=len(prepared.frame))
    datamodule = BusDataModule(prepared, split, own, own.task.name != "classification", hardware.home_of_images)
    own.model.weights = None  # the checkpoint holds them all
    task = build_task(own, datamodule, hardware)
    load_kept_weights(task.net, run.best)
    bar = own.callbacks.get("progress") if cfg.progress else None
    trainer = build_trainer(
        own, hardware, logger=False, callbacks=[build(bar)] if bar else [], enable_progress_bar=bool(bar)
    )
    parts = [part for part in PARTS if split.part(part)] if cfg.part == "all" else [cfg.part]
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


def _split_for(run: RunDir, named: Split, cfg: DictConfig, prepared: PreparedData) -> Split:
    """Take the run's own split, the one that the user names, or every image of another data folder.

    Raises:
        UserError: When the images are not there, or when it cannot be known whether they were trained on.
    """
    known = set(prepared.frame["id"])
    if cfg.split not in (None, "own", "all"):
        if missing := set(named.part("all")) - known:
            raise UserError(
                f"split={cfg.split}: '{min(missing)}' is not in {prepared.root} ({len(missing)} ids are not)."
            )
        return named
    is_own = prepared.content.partition("-")[0] == str(run.status.get("data")).partition("-")[0]
    if is_own and cfg.split != "all":
        return named
    if cfg.split == "own":
        parts = {part: [id_ for id_ in named.part(part) if id_ in known] for part in PARTS}
        return make_named_split(parts, named.method, prepared.groups)
    if cfg.split is None and (shared := known & set(named.train)):
        raise UserError(
            f"{prepared.root} holds other files than the run was trained on, yet {len(shared)} of its ids were trained "
            "on: pass split=own (the ids are the same images: take the run's parts) or split=all (they are others)."
        )
    log.info("%s: every one of the %d images of %s is a test image", run.path, len(known), prepared.root)
    return make_named_split({"train": [], "val": [], "test": sorted(known)}, "file", prepared.groups)
