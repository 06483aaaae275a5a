"""What one Hydra job does: name the run, keep its record, train or evaluate."""

import logging
import os
import re
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.syntax import Syntax

from bus_lightning import training
from bus_lightning.command_line import SAID, report_job
from bus_lightning.config import run_name
from bus_lightning.errors import OccupiedError, UserError, explain

log = logging.getLogger(__name__)
_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def train_job(cfg: DictConfig) -> float | None:
    """Train one run, or one job of a grid.

    Returns:
        The validation score of the kept epoch; None without a validation set.
    """
    hydra_cfg = HydraConfig.get()
    os.chdir(hydra_cfg.runtime.cwd)  # a worker of Ray begins where its cluster was started
    in_grid = hydra_cfg.mode == RunMode.MULTIRUN
    cfg.name = run_name(cfg.model.name, hydra_cfg.overrides.task) if cfg.name is None else str(cfg.name)
    cfg.group = str(cfg.group)
    for key in ("name", "group"):
        if not re.fullmatch(r"[A-Za-z0-9._-]+", cfg[key]):
            raise UserError(f"{key}={cfg[key]} names a folder: use letters, digits, '.', '_' and '-' only.")
    if cfg.print_config and not (in_grid and hydra_cfg.job.num > 0):
        Console(stderr=True).print(Syntax(OmegaConf.to_yaml(cfg, resolve=True), "yaml", background_color="default"))
    folder = Path(cfg.runs_dir) / cfg.group / cfg.name
    report_job(folder)
    try:
        return training.run(cfg, in_grid and hydra_cfg.sweeper._target_ != _BASIC_SWEEPER, in_grid)
    except Exception as error:
        log.error("%s failed: %s", folder, explain(error))
        if isinstance(error, OccupiedError):
            report_job(folder, refused=explain(error))
        if cfg.fail_fast:
            raise SystemExit(1) from error  # the only thing that stops Hydra's grid
        error.add_note(SAID)
        raise


def evaluate_job(cfg: DictConfig) -> None:
    """Evaluate the kept checkpoint of every run that `runs` names."""
    from bus_lightning.evaluating import evaluate_runs  # not for training: a finished run needs no torch

    evaluate_runs(cfg)
