"""Evaluate the kept checkpoints of runs: `python evaluate.py runs='runs/classification/*'`."""

import hydra
from omegaconf import DictConfig

from bus_lightning.config import CONF
from bus_lightning.launch.command_line import launch


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def evaluate(cfg: DictConfig) -> None:
    """Evaluate the runs that the config names."""
    from bus_lightning.launch.jobs import evaluate_job  # after Hydra has parsed: --help must not wait for torch

    evaluate_job(cfg)


def main() -> int:
    """Run the command line.

    Returns:
        Exit code.
    """
    return launch(evaluate, "evaluate", resumes=False)
