"""Seed torch by the epoch, so that no random state has to be stored."""

import lightning.pytorch as pl
import torch

from bus_lightning.randomness import stable_hash


class EpochSeed(pl.Callback):
    """Seed torch anew from (seed, epoch) as each epoch starts.

    A resumed run then draws the same dropout masks as an undisturbed one.

    Args:
        seed: The run's seed; None leaves torch as it is.
    """

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed torch's generators, on the CPU and on every device."""
        if self.seed is not None:
            torch.manual_seed(stable_hash("epoch", self.seed, trainer.current_epoch))
