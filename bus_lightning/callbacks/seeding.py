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

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Seed torch's generators, on the CPU and on every device, before an epoch's first batch."""
        # Not in on_train_epoch_start, which Lightning leaves out for the first epoch after a resumption.
        if self.seed is not None and batch_idx == 0:
            torch.manual_seed(stable_hash("epoch", self.seed, trainer.current_epoch))
