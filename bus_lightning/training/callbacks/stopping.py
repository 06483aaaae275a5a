"""Early stopping that ignores epochs in which the metric is undefined."""

import logging
import math

import lightning.pytorch as pl
from lightning.pytorch import callbacks

log = logging.getLogger(__name__)


class EarlyStopping(callbacks.EarlyStopping):
    """End the training when a metric has stopped improving; epochs in which it is undefined do not count.

    With `check_finite=true` such an epoch ends the training, as in Lightning. The class keeps Lightning's name because
    last.ckpt stores the state under it.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the metric of the epoch."""
        if self._counts(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the metric after a validation, if not every epoch has one."""
        if self._counts(trainer):
            super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log why the training ended early."""
        if self.stopping_reason_message and trainer.is_global_zero:
            log.info("Early stopping after epoch %d: %s", self.stopped_epoch, self.stopping_reason_message)

    def _counts(self, trainer: pl.Trainer) -> bool:
        value = trainer.callback_metrics.get(self.monitor)
        return self.check_finite or value is None or math.isfinite(value)
