"""Evaluate the kept checkpoints of runs, on any part of any split of any data folder."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import RichProgressBar
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bus_lightning.config.identity import KEYS
from bus_lightning.config.kinds import shown
from bus_lightning.config.split_options import PARTS
from bus_lightning.config.tested_data import with_tested_data
from bus_lightning.config.trusted import TRAINER
from bus_lightning.core.arguments import in_home
from bus_lightning.core.errors import DamagedError, UserError, disk_trouble, first_line, is_out_of_memory
from bus_lightning.core.files import checksum, is_there
from bus_lightning.core.workarounds import convert_before_loading
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.weights import load_kept_weights
from bus_lightning.runs.evaluation_folders import evaluation_folder
from bus_lightning.runs.finished import FinishedRun, find_runs, open_run
from bus_lightning.runs.folder import RunDir, groups_near
from bus_lightning.runs.lock import owned
from bus_lightning.runs.robustness import FOLDER as ROBUSTNESS
from bus_lightning.runs.sets import write_sets
from bus_lightning.runs.table import collect, show
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.training.baselines import fit_baselines
from bus_lightning.training.building import build_task, build_trainer
from bus_lightning.training.evaluated_parts import evaluate_parts
from bus_lightning.training.hardware import choose_hardware, release_memory
from bus_lightning.training.label_in_input import announce_label_in_input
from bus_lightning.training.robustness import RobustnessSettings, evaluate_robustness
from bus_lightning.training.tested_images import CHOICES, EvaluatedImages, count_seen, find_images

log = logging.getLogger(__name__)


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
    if cfg.get("robustness"):
        RobustnessSettings(**cfg.robustness_options)
    check_request(cfg)
    folders = find_runs(*patterns_of(cfg.runs))
    runs = [run for run in folders if is_there(run.best)]
    if not runs:
        cure = name_groups(cfg.runs)
        if folders and all(run.is_ensemble for run in folders):
            cure = " These are ensembles: name the runs that they average, and add ensemble=NAME."
        raise UserError(f"runs={cfg.runs} matches no run folder with a kept checkpoint (checkpoints/best.ckpt).{cure}")
    for run in folders:
        if run.is_ensemble:
            log.info("%s: skipped: an ensemble has no checkpoint.", run.path)
    results: dict[Path, Path] = {}
    refused: dict[str, str | None] = {}
    for run in runs:
        try:
            with in_one_line(run):
                results[run.path] = evaluate_run(run, cfg).path
        except UserError as error:
            log.error("%s", error)
            results[run.path], refused[str(run.path)] = run.path, str(error)
        finally:
            release_memory()  # of its network and its images
    sets = f" on {', '.join(map(str, cfg.data.sets))}" if cfg.get("data", {}).get("sets") else ""
    title = f"Evaluation{sets}, part '{cfg.part}'"
    show(collect(list(results), cfg.part, list(results.values()), refused), title=title)
    if refused:
        raise UserError(f"{len(refused)} of {len(runs)} runs could not be evaluated.")


def check_request(cfg: DictConfig) -> None:
    """Refuse a request without runs, or with a split that is neither known nor a file.

    Args:
        cfg: The config of `evaluate.py`.

    Raises:
        UserError: One line that names the option and the cure.
    """
    if cfg.split not in CHOICES and not Path(cfg.split).is_file():
        raise UserError(f"split={cfg.split}: choose own, all or unseen, or give a split file; no such file exists.")
    if OmegaConf.is_missing(cfg, "runs"):
        raise UserError(f"runs has no value: name run folders.{name_groups('runs')}")


@contextmanager
def in_one_line(run: RunDir) -> Iterator[None]:
    """Describe in one line what a run's config lacks, a folder that cannot be read or written, and too little memory.

    Raises:
        UserError: The line; a DamagedError for the config.
    """
    try:
        yield
    except OmegaConfBaseException as error:
        raise DamagedError(run.config, f"it is not the config of a run ({error})") from error
    except KeyError as error:
        if not {f"data.{key}" for key in error.args} & KEYS.keys():  # the group `data` is read as a plain mapping
            raise
        raise DamagedError(run.config, f"it is not the config of a run (it lacks {error})") from error
    except OSError as error:
        if trouble := disk_trouble(error, {"runs": run.path} | run.config_folders()):
            raise UserError(trouble) from error
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{run.path}: out of memory ({first_line(error) or 'MemoryError'}): stop other programs, or leave the "
            "graphics card out with CUDA_VISIBLE_DEVICES= before the command."
        ) from error


def patterns_of(runs: str | Sequence[str]) -> list[str]:
    """Return the patterns of the option `runs`, which is one or a list of them."""
    return [in_home(pattern) for pattern in ([runs] if isinstance(runs, str) else runs)]


def name_groups(runs: str | Sequence[str]) -> str:
    """Write how to name the groups of runs near the places that the option `runs` names."""
    known = [f"runs='{group}/*'" for group in groups_near(Path(patterns_of(runs)[0].partition("*")[0]))]
    return f" Try {' or '.join(known)}." if known else " Give folders such as runs='runs/GROUP/*'."


def evaluate_run(run: RunDir, cfg: DictConfig) -> RunDir:
    """Evaluate one run's kept checkpoint.

    Args:
        run: The run.
        cfg: The config of `evaluate.py`.

    Returns:
        The folder of the evaluation within the run's, with `cases.csv` and `metrics.json`.

    Raises:
        UserError: If the run, its images or its checkpoint cannot be used, or an option does not fit.
    """
    opened = open_run(run.path, complete=False, trusted=cfg.get("trusted_packages") or ())
    config = settle_tested(opened.config, cfg)
    images = find_images(opened, config, cfg)
    prepared, split = images.prepared, images.split
    parts = [part for part in PARTS if split.part(part)] if cfg.part == "all" else [cfg.part]
    # Before they are read: a training that replaces them meanwhile must not pass its new ones off as measured.
    weights = checksum(run.best) if run.best.is_file() else ""  # what is no file, `prepare_network` refuses
    network = prepare_network(opened, config, images, bool(cfg.progress and config.callbacks.get("progress")))
    task, datamodule = network.task, network.datamodule
    announce_label_in_input(config.overlay, parts)
    with torch.inference_mode():
        cases, metrics = evaluate_parts(network.trainer, task, datamodule, parts)
    if cfg.part == "all":
        metrics["all"] = metrics_of(cases)
    changed = {key: value for key, value in config.predict.items() if value != opened.config.predict[key]}
    options = [f"{key}-{shown(value)}" for key, value in changed.items()]
    out = evaluation_folder(run, cfg.part, prepared.content, split.hash, options)
    out.path.mkdir(parents=True, exist_ok=True)
    split.save(out.split)
    write_sets(out, prepared, split, opened, count_seen(opened, images))
    out.write_cases(cases)
    out.record_evaluation(run, weights=weights, predict=changed or None)
    out.write_metrics(metrics)
    log.info("%s: written", out.path)
    # What is measured on other images than the run's, or with other options, is written to their evaluation.
    place = (run if split is opened.split and cfg.split in (None, "own") and not changed else out).path
    if cfg.get("explain"):
        from bus_lightning.explain.explain_run import explain_run

        device = network.trainer.strategy.root_device
        explain_run(
            config, task, datamodule, device, cfg.explain_options, place / "explain", weights, cfg.progress,
            opened.origin,
        )  # fmt: skip
    if cfg.get("baselines") and place == run.path:
        fit_baselines(run, config, prepared, split, cfg.progress)
    elif cfg.get("baselines"):
        log.warning(
            "%s: no baselines: they are fitted and tested on the run's own parts: leave out split, data and predict.",
            place,
        )
    if cfg.get("robustness"):
        made_with = {"weights": weights, "data": prepared.content, "split": split.hash, "predict": changed}
        with owned(place), torch.inference_mode():
            evaluate_robustness(
                network.trainer, task, datamodule, cfg.robustness_options, place / ROBUSTNESS, made_with, cfg.progress
            )
    return out


@dataclass(frozen=True)
class PreparedNetwork:
    """The kept weights of a run, ready to predict images.

    Attributes:
        task: Network and loss.
        datamodule: The images.
        trainer: Computes with the precision of the run.
    """

    task: BusTask
    datamodule: BusDataModule
    trainer: pl.Trainer


def prepare_network(run: FinishedRun, config: DictConfig, images: EvaluatedImages, shows_bar: bool) -> PreparedNetwork:
    """Load the kept weights of a run, and set up how they are evaluated.

    Args:
        run: The run.
        config: Its config, from `settle_tested`; its classes become those of the images.
        images: What it is tested on.
        shows_bar: Whether the Trainer shows a bar.

    Raises:
        UserError: If the network cannot be built, or the checkpoint does not fit it.
    """
    prepared, split, config.data.classes = images.prepared, images.split, images.classes
    # As it was trained, even where `auto` would choose otherwise now; where the images lie changes no bit of a test.
    before = {key: value for key, value in run.status.items() if key != "on_device"}
    hardware = choose_hardware(config, before, images=len(prepared.frame))
    datamodule = BusDataModule(
        prepared, split, config, config.task.name != "classification", hardware.home_of_images, augments=False
    )
    task = build_task(config, datamodule, hardware, starts=False, origin=run.origin)
    bars = [RichProgressBar(leave=False)] if shows_bar else []  # not the run's own callback, which could be any class
    trainer = build_trainer(
        config.trainer, hardware, run.origin, logger=False, callbacks=bars, enable_progress_bar=shows_bar
    )
    convert_before_loading(trainer, task)
    load_kept_weights(task.net, run.folder.best)
    if isinstance(task, SegmentationTask) and config.predict.no_lesion is not False:
        task.least_score = run.least_score
    return PreparedNetwork(task, datamodule, trainer)


def settle_tested(config: DictConfig, cfg: DictConfig) -> DictConfig:
    """Return a copy of a run's config for its evaluation on this machine.

    Args:
        config: The run's config.
        cfg: The config of `evaluate.py`.

    Raises:
        UserError: If an option of its data has no effect, or the no-lesion rule was chosen with other flips.
    """
    settled = with_tested_data(config, cfg.data)
    # Strategies, profilers, limits and the like belong to the training: an evaluation takes all images.
    settled.trainer = {key: value for key, value in settled.trainer.items() if not OmegaConf.is_config(value)}
    settled.trainer.update(_target_=TRAINER, accelerator="auto", devices=1, profiler=None, default_root_dir=None)
    settled.trainer.update(strategy="auto", num_nodes=1, sync_batchnorm=False)  # one process, whatever trained it
    settled.trainer.update(limit_val_batches=None, limit_test_batches=None, overfit_batches=0.0)
    settled.model.weights = None  # the checkpoint holds them all
    predict = settled.predict
    predict.update({key: value for key, value in (cfg.get("predict") or {}).items() if value is not None})
    if predict.no_lesion is not False and predict.flips != config.predict.flips:
        raise UserError(
            f"predict.flips={shown(predict.flips)}: the run's no-lesion rule was chosen with "
            f"predict.flips={shown(config.predict.flips)}: add predict.no_lesion=false."
        )
    return settled
