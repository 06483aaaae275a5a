"""What one Hydra job does: name the run, keep its record, train or evaluate."""

import logging
import warnings
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.syntax import Syntax

from bus_lightning import evaluating, training
from bus_lightning.command_line import report_job
from bus_lightning.config import run_name
from bus_lightning.errors import UserError

log = logging.getLogger(__name__)
# Lightning prints through a handler of its own, beside ours, and its news of the day are not the user's.
logging.getLogger("lightning.pytorch").handlers.clear()
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=r".*LeafSpec.* is deprecated")  # Lightning 2.6 on newer torch
warnings.filterwarnings("ignore", message=r".*does not have many workers")  # images are in memory
warnings.filterwarnings(
    "ignore", message=r"Checkpoint directory .* exists and is not empty"
)  # a run is resumed in place

_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def train_job(cfg: DictConfig) -> float | None:
    """Train one run, or one job of a grid.

    Returns:
        The validation score of the kept epoch; None without a validation set.
    """
    hydra_cfg = HydraConfig.get()
    in_grid = hydra_cfg.mode == RunMode.MULTIRUN
    cfg.name = cfg.name or run_name(cfg.model.name, hydra_cfg.overrides.task)
    if cfg.print_config and not (in_grid and hydra_cfg.job.num > 0):
        Console(stderr=True).print(Syntax(OmegaConf.to_yaml(cfg, resolve=True), "yaml", background_color="default"))
    folder = Path(cfg.runs_dir) / cfg.group / cfg.name
    report_job(folder)
    try:
        if in_grid and cfg.trainer.devices not in (1, "1", "auto"):
            raise UserError(
                f"trainer.devices={cfg.trainer.devices} in a grid: each process would start the whole grid again. "
                "Use one device per job, or train this run alone without -m."
            )
        return training.run(cfg, optimised=in_grid and hydra_cfg.sweeper._target_ != _BASIC_SWEEPER)
    except Exception as error:
        what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error} (see error.txt)"
        log.error("%s failed: %s", folder, what)
        if cfg.fail_fast:
            raise SystemExit(1) from error  # the only thing that stops Hydra's grid
        raise


def evaluate_job(cfg: DictConfig) -> None:
    """Evaluate the kept checkpoint of every run that `runs` names."""
    evaluating.evaluate_runs(cfg)
