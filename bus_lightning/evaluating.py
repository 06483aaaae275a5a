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
from bus_lightning.data.splits import PARTS, Split, load_split
from bus_lightning.errors import UserError
from bus_lightning.evaluation.metrics import metrics_of
from bus_lightning.evaluation.table import collect, show
from bus_lightning.models.weights import load_kept_weights
from bus_lightning.run_dir import RunDir
from bus_lightning.training import build_task, build_trainer, evaluate_parts

log = logging.getLogger(__name__)


def evaluate_runs(cfg: DictConfig) -> None:
    """Evaluate the runs that `cfg.runs` names and print their table.

    Raises:
        UserError: When no run is there, or a part or a split makes no sense.
    """
    if cfg.part not in (*PARTS, "all"):
        raise UserError(f"part={cfg.part} is unknown: choose one of {', '.join(PARTS)}, all.")
    runs = [RunDir(Path(path)) for path in sorted(glob.glob(str(cfg.runs)))]
    runs = [run for run in runs if run.best.is_file()]
    if not runs:
        raise UserError(f"runs={cfg.runs} matches no run folder with a kept checkpoint (checkpoints/best.ckpt).")
    results = [evaluate_run(run, cfg).path for run in runs]
    show(collect([run.path for run in runs], cfg.part, results), title=f"Evaluation, part '{cfg.part}'")


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
    if cfg.data.root:
        root = find_root(cfg.data.root)
        own.data.root, own.data.phantom, own.data.exclude = str(root), None, None
        own.data.classes = [name for name in classes if (root / name).is_dir()] or classes
    prepared = prepare_data(own.data, needs_masks=own.task.name == "segmentation")
    prepared.frame["label"] = prepared.frame["class"].map(classes.index)
    own.data.classes = classes
    split = _split_for(run, cfg, prepared)
    log.info("%s: evaluating %d images", run.path, len(split.part(cfg.part)))
    if not split.part(cfg.part):
        raise UserError(f"{run.path}: the part '{cfg.part}' of its split has no images.")

    datamodule = BusDataModule(prepared, split, own, full_masks=own.task.name == "segmentation")
    own.model.weights = None  # the checkpoint holds them all
    task = build_task(own, datamodule)
    load_kept_weights(task.net, run.best)
    own.trainer.precision = run.status.get("precision", own.trainer.precision)
    bar = own.callbacks.get("progress") if cfg.progress else None
    trainer = build_trainer(own, logger=False, callbacks=[build(bar)] if bar else [], enable_progress_bar=bool(bar))
    parts = [part for part in PARTS if split.part(part)] if cfg.part == "all" else [cfg.part]
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
    return out


def _split_for(run: RunDir, cfg: DictConfig, prepared: PreparedData) -> Split:
    """Take the run's own split, the one that the user names, or every image of a folder that is foreign to it."""
    split = load_split(Path(cfg.split) if cfg.split else run.split)
    known = set(prepared.frame["id"])
    if set(split.part("all")) <= known:
        return split
    if not cfg.data.root:
        missing = min(set(split.part("all")) - known)
        raise UserError(
            f"{run.path}: '{missing}' of its split is not in the data folder any more; set data.root=FOLDER."
        )
    ids = sorted(known)
    log.info("%s: %s is foreign to its split, so all %d images are test images", run.path, cfg.data.root, len(ids))
    return Split([], [], ids, "file", [], 0, prepared.groups, "foreign")
