"""Seed torch by the step, so that no random state has to be stored."""

import lightning.pytorch as pl
import torch

from bus_lightning.core.randomness import stable_hash


class StepSeed(pl.Callback):
    """Seed torch from (seed, epoch, step) at the start of each step.

    A run that is resumed at any step then draws the same dropout masks as an undisturbed one.

    Args:
        seed: The run's seed; None leaves torch as it is.
    """

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Seed torch's generators, on the CPU and on every device."""
        if self.seed is not None:
            torch.manual_seed(stable_hash("step", self.seed, trainer.current_epoch, batch_idx, trainer.global_rank))
