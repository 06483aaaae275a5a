"""The function of one Hydra job: name the run and train it, or evaluate runs."""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.syntax import Syntax

from bus_lightning.config.run_names import naming_overrides, older_name, run_name
from bus_lightning.config.schema import EVALUATE, TRAIN, check_kinds, refuse_unknown_keys
from bus_lightning.config.settle import settle, with_names
from bus_lightning.config.stored import load_config
from bus_lightning.config.tested_data import refuse_idle_options, refuse_training_options
from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.errors import OccupiedError, UserError, explain
from bus_lightning.core.output import prepare_output
from bus_lightning.launch.command_line import REPORTED, launch_name, report_job
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train

log = logging.getLogger(__name__)
_CLOSED = ("data.columns", "data.map", "data.drop", "data.phantom", "predict", "explain_options", "robustness_options")
_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def train_job(cfg: DictConfig) -> float | None:
    """Train one run, or one job of a grid.

    Returns:
        Validation score of the kept epoch; None without a validation set.
    """
    prepare_output()  # a launcher may have brought the job to another process
    hydra_cfg = HydraConfig.get()
    os.chdir(hydra_cfg.runtime.cwd)  # a worker of Ray starts in the folder of its cluster
    in_grid = hydra_cfg.mode == RunMode.MULTIRUN
    try:
        cfg = check_kinds(cfg, TRAIN)
    except UserError as error:
        if not in_grid:
            raise
        log.error("%s: %s", " ".join(hydra_cfg.overrides.task), error)
        _end(cfg, error)
    name = folder_name(cfg, hydra_cfg.overrides.task) if cfg.name is None else str(cfg.name)
    cfg = with_names(cfg, str(cfg.group), name)
    if cfg.print_config and not (in_grid and hydra_cfg.job.num > 0):
        PrintableConsole(stderr=True).print(
            Syntax(OmegaConf.to_yaml(cfg, resolve=True), "yaml", background_color="default")
        )
    folder = Path(cfg.runs_dir) / cfg.group / cfg.name
    report_job(folder)
    try:
        optimised = in_grid and hydra_cfg.sweeper._target_ != _BASIC_SWEEPER
        return train.run(cfg, optimised, in_grid, launch_name())
    except Exception as error:
        log.error("%s failed: %s", folder, explain(error))
        if isinstance(error, OccupiedError):
            report_job(folder, refused=explain(error))
        _end(cfg, error)


def _end(cfg: DictConfig, error: Exception) -> NoReturn:
    """End a failed job whose error has been logged."""
    if cfg.get("fail_fast"):
        raise SystemExit(1) from error  # the only thing that stops Hydra's grid
    error.add_note(REPORTED)
    raise error


def folder_name(cfg: DictConfig, overrides: Sequence[str]) -> str:
    """Name the run's folder after its overrides; if an earlier version made a folder of the same experiment, as that.

    Args:
        cfg: The composed config.
        overrides: Hydra's overrides of the job.
    """
    name, older = run_name(cfg.model.name, overrides), older_name(cfg.model.name, overrides)
    group = Path(cfg.runs_dir) / str(cfg.group)
    if name == older or (group / name).exists() or not RunDir(group / older).config.is_file():
        return name
    run = RunDir(group / older)
    with suppress(UserError):  # a damaged folder is not used
        kept = load_config(run.config)
        settled = settle(cfg, train.rules_for(cfg, run))
        for key in ("classes", "num_classes"):  # if null, they are set when the data are read
            settled.data[key] = kept.data.get(key) if settled.data[key] is None else settled.data[key]
        values = {key: OmegaConf.select(settled, key) for key in naming_overrides(overrides) if not key.startswith("~")}
        # A config group has options that do not affect results, such as folders: `differences` compares the others.
        same_values = all(isinstance(value, DictConfig) or OmegaConf.select(kept, key) == value
                          for key, value in values.items())  # fmt: skip
        return older if same_values and not run.differences(kept, settled, {}) else name
    return name


def evaluate_job(cfg: DictConfig) -> None:
    """Evaluate the kept checkpoint of every run that `runs` names, or average the predictions of the runs."""
    prepare_output()
    overrides = HydraConfig.get().overrides.task
    refuse_training_options(overrides)
    cfg = check_kinds(cfg, EVALUATE)
    refuse_unknown_keys(cfg, EVALUATE, _CLOSED)
    refuse_idle_options(overrides, cfg)
    if cfg.ensemble is not None:
        from bus_lightning.training.ensembles import evaluate_ensembles

        evaluate_ensembles(cfg)
        return
    from bus_lightning.training.evaluate import evaluate_runs  # needs torch, which a finished training run does not

    evaluate_runs(cfg)
