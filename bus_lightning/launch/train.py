"""Train one run or a grid: `python train.py -m model=resnet50,alexnet,deepcardinal50`."""

import sys

import hydra
from omegaconf import DictConfig

from bus_lightning.config import CONF
from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import adopt_ranks_of_srun, check_ranks
from bus_lightning.launch.command_line import launch


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def train(cfg: DictConfig) -> float | None:
    """Train what the composed config says."""
    from bus_lightning.launch.jobs import train_job  # after Hydra has parsed: --help must not wait for torch

    return train_job(cfg)


def main() -> int:
    """Run the command line.

    Returns:
        Exit code.
    """
    try:
        adopt_ranks_of_srun()
        check_ranks()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return launch(train, "train")
