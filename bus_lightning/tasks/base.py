"""What both tasks share: the step, the cases of an evaluation, optimizer and scheduler."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from bus_lightning.evaluation.metrics import HEADLINE, metrics_of

Batch = dict[str, Any]


class BusTask(pl.LightningModule):
    """Train a network on dict batches and collect a row per image when it is evaluated.

    Args:
        net: (B, C, H, W) float32 images -> logits.
        loss: (logits, target) -> scalar.
        classes: Names of the classes, in the order of the labels.
        optimizer: Parameters -> optimizer.
        scheduler: Optimizer -> scheduler, stepped once per epoch; None keeps the learning rate.
        monitor: Metric that the progress bar shows; a plateau scheduler watches `val/loss`.
        channels_last: Keep weights and images in the channels-last memory layout, which is faster on most hardware.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        classes: list[str],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        monitor: str = "val/loss",
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.to(memory_format=self.memory_format)
        self.loss = loss
        self.classes = classes
        self.make_optimizer, self.make_scheduler, self.monitor = optimizer, scheduler, monitor
        self.cases = pd.DataFrame()
        self.mean_loss: float | None = None
        self._rows: list[dict[str, Any]] = []
        self._losses: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images (B, C, H, W)."""
        logits: Tensor = self.net(image.to(memory_format=self.memory_format))
        return logits

    def training_logits(self, image: Tensor) -> Tensor:
        """Return the logits that the loss sees in training."""
        return self(image)

    def target(self, batch: Batch) -> Tensor:
        """Pick what the loss compares the logits with."""
        raise NotImplementedError

    def rows(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Make the evaluation's row of each image from float32 logits."""
        raise NotImplementedError

    def training_scores(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Score a training batch, for the curves over training: scalars, which are averaged over the epoch's images."""
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a training batch."""
        logits = self.training_logits(batch["image"])
        loss: Tensor = self.loss(logits, self.target(batch))
        size = len(batch["id"])
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=size)
        scores = {f"train/{name}": score for name, score in self.training_scores(logits.detach(), batch).items()}
        self.log_dict(scores, on_step=False, on_epoch=True, batch_size=size)
        return loss

    def answer(self, image: Tensor) -> Tensor:
        """Answer images as in an evaluation, outside of the Trainer's loops.

        Args:
            image: (B, C, H, W) float32 on any device.

        Returns:
            Logits, float32 on the CPU.
        """
        self.eval()
        in_bfloat16 = "bf16" in str(self.trainer.precision)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=in_bfloat16):
            logits: Tensor = self(image.to(self.device)).float().cpu()
        return logits

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the cases of a validation batch."""
        self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the cases of a test batch."""
        self._evaluate(batch)

    def _evaluate(self, batch: Batch) -> None:
        logits = self(batch["image"])
        self._losses.append(self.loss(logits, self.target(batch)).detach() * len(batch["id"]))
        self._rows += self.rows(logits.float(), batch)

    def on_validation_epoch_start(self) -> None:
        """Forget the cases of the last evaluation."""
        self._rows, self._losses = [], []

    def on_test_epoch_start(self) -> None:
        """Forget the cases of the last evaluation."""
        self._rows, self._losses = [], []

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all cases of the epoch."""
        self._log_cases("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of all cases."""
        self._log_cases("test")

    def _log_cases(self, stage: str) -> None:
        self.cases = pd.DataFrame(self._rows)
        self.mean_loss = float(torch.stack(self._losses).sum() / len(self.cases))
        self.log(f"{stage}/loss", self.mean_loss, prog_bar=stage == "val")
        for name, value in metrics_of(self.cases).items():
            if name in HEADLINE:
                # An undefined metric is logged as NaN, so that whoever monitors it finds the key.
                in_bar = f"{stage}/{name}" == self.monitor
                self.log(f"{stage}/{name}", float("nan") if value is None else value, prog_bar=in_bar)

    def configure_optimizers(self) -> Any:
        """Build optimizer and scheduler."""
        optimizer = self.make_optimizer(self.parameters())
        if self.make_scheduler is None:
            return optimizer
        scheduler = {"scheduler": self.make_scheduler(optimizer), "monitor": "val/loss", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Do nothing: `on_train_epoch_end` has stepped, in time for the checkpoint of the epoch.

        Lightning would step after `last.ckpt` is written, and a resumed run would miss that step.
        """

    def on_train_epoch_end(self) -> None:
        """Step the scheduler."""
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics["val/loss"])
        elif scheduler is not None:
            scheduler.step()
