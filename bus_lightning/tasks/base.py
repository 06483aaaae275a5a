"""The common part of the tasks: the step, the cases of an evaluation, optimizer and scheduler."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from bus_lightning.core.errors import DivergedError
from bus_lightning.metrics.catalogue import EPOCH, shown_in
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.averaging import Logits as Logits
from bus_lightning.models.averaging import average_over_flips
from bus_lightning.tasks.fast_gradients import FastGradients
from bus_lightning.tasks.processes import gather, interleave, sum_over_processes

Batch = dict[str, Any]
_LOGGED = frozenset(shown_in(EPOCH))
_RENAMED = {name: f"{name}_share" for name in ("tp", "fp", "fn", "tn")}  # names in checkpoints of older versions


class BusTask(pl.LightningModule):
    """Train a network on dict batches and collect a row per image in evaluations.

    Args:
        net: (B, C, H, W) float32 images -> logits.
        loss: (logits, target) -> scalar.
        classes: Names of the classes, in the order of the labels.
        optimizer: Parameters -> optimizer; None for a task that is only evaluated.
        scheduler: Optimizer -> scheduler, stepped once per epoch; None keeps the learning rate.
        monitor: Metric in the progress bar; a plateau scheduler always monitors `val/loss`.
        channels_last: Keep weights and images in the channels-last memory layout, which is faster on most hardware.
        flips: Average the probabilities over an image and its mirror image in evaluations after training.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        classes: list[str],
        optimizer: Callable[..., Optimizer] | None,
        scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        monitor: str = "val/loss",
        channels_last: bool = False,
        flips: bool = False,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.to(memory_format=self.memory_format)
        self.loss = loss
        self.classes = classes
        self.flips = flips
        self.make_optimizer, self.make_scheduler, self.monitor = optimizer, scheduler, monitor
        self.cases = pd.DataFrame()
        self.mean_loss: float | None = None
        self.validated: dict[str, Tensor] | None = None  # state of the module in this epoch's validation
        self._rows: list[dict[str, Any]] = []
        self._losses: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}  # of the epoch, over its images
        self._images = 0

    def forward(self, image: Tensor) -> Logits:
        """Return the logits of a batch of images (B, C, H, W)."""
        return self.net(image.to(memory_format=self.memory_format))

    def training_logits(self, image: Tensor) -> Logits:
        """Return the logits for the loss in training."""
        return self(image)

    def evaluation_logits(self, image: Tensor) -> Logits:
        """Return the logits for the rows of an evaluation; those of the epochs are without flips, for speed."""
        if self.flips and self.trainer.state.fn != TrainerFn.FITTING:
            return average_over_flips(self, image)
        return self(image)

    def target(self, batch: Batch) -> Any:
        """Return the target of the loss."""
        raise NotImplementedError

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Return the logits by head: `mask` (B, 1, H, W), `class` (B, K), or both."""
        raise NotImplementedError

    def rows(self, heads: dict[str, Tensor], batch: Batch) -> list[dict[str, Any]]:
        """Make the evaluation's row of each image from float32 logits by head."""
        raise NotImplementedError

    def training_scores(self, logits: Logits, batch: Batch) -> dict[str, Tensor]:
        """Score a training batch: scalars, which the curves average over the epoch's images."""
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a training batch."""
        mode: Any = FastGradients() if batch["image"].device.type == "cpu" else nullcontext()
        with mode:
            logits = self.training_logits(batch["image"])
        loss: Tensor = self.loss(logits, self.target(batch))
        size = len(batch["id"])
        with torch.no_grad():
            scores = self.training_scores(logits, batch)
        for name, value in {"loss": loss.detach(), **scores}.items():
            self._sums[name] = value * size + self._sums.get(name, 0)
        self._images += size
        if batch_idx + 1 == self.trainer.num_training_batches:
            self._log_training()
        if self.trainer.world_size == 1:
            return loss
        # Gradients are averaged over processes, whose shares of a batch may differ by an image.
        batch_size = sum_over_processes(self.trainer, torch.full((), size, device=self.device))
        return loss * (size * self.trainer.world_size / batch_size)

    def on_train_epoch_start(self) -> None:
        """Reset the sums of the last epoch; Lightning does not call this when it resumes within an epoch."""
        self._sums, self._images, self.validated = {}, 0, None

    def measured(self) -> dict[str, float]:
        """Return the metrics of this epoch by name; validation metrics only if this epoch was validated."""
        metrics = sorted(self.trainer.callback_metrics.items())  # Lightning keeps those of an earlier validation
        return {name: float(value) for name, value in metrics if self.validated or not name.startswith("val/")}

    def _log_training(self) -> None:
        """Log the means over the epoch's images."""
        images = sum_over_processes(self.trainer, torch.tensor(self._images))
        for name, total in self._sums.items():
            mean = sum_over_processes(self.trainer, total) / images
            self.log(f"train/{name}", mean, on_step=False, on_epoch=True, batch_size=1, prog_bar=name == "loss")
            if name == "loss" and not torch.isfinite(mean):
                raise DivergedError(
                    f"The training loss is {float(mean)} in epoch {self.current_epoch}: lower optimizer.lr, set "
                    "trainer.gradient_clip_val=1, or compute in trainer.precision=32-true."
                )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the sums of an unfinished epoch: its means are over all its images, also after resuming."""
        checkpoint["epoch_sums"] = {name: gather(self.trainer, total) for name, total in self._sums.items()}
        checkpoint["epoch_images"] = gather(self.trainer, torch.tensor(self._images))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of an unfinished epoch."""
        # Older versions wrote checkpoints only at the end of epochs, without sums.
        sums = {_RENAMED.get(name, name): sums for name, sums in checkpoint.get("epoch_sums", {}).items()}
        self._sums = {name: self._share(sums) for name, sums in sums.items()}
        self._images = int(self._share(torch.as_tensor(checkpoint.get("epoch_images", 0))))

    def _share(self, sums: Tensor) -> Tensor:
        """Return this process's sum; if the number of processes has changed, the first process gets the total."""
        if sums.numel() == self.trainer.world_size:
            return sums.reshape(-1)[self.trainer.global_rank]
        return sums.sum() * self.trainer.is_global_zero

    def predict_logits(self, image: Tensor) -> dict[str, Tensor]:
        """Predict as in an evaluation, outside of the Trainer's loops.

        Args:
            image: (B, C, H, W) float32 on any device.

        Returns:
            Logits by head, `mask` (B, 1, H, W), `class` (B, K), or both: float32 on the CPU.
        """
        return self.finish(self.predict_heads(image))

    def predict_heads(self, image: Tensor) -> dict[str, Tensor]:
        """Predict as `predict_logits`, but without `finish`."""
        self.eval()
        precision = self.trainer.precision_plugin
        with torch.inference_mode(), precision.forward_context():
            logits = self.evaluation_logits(precision.convert_input(image.to(self.device)))
            return {name: values.float().cpu() for name, values in self.heads(logits).items()}

    def finish(self, heads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change the float32 logits by head into those of the final prediction, if a task has a rule for that."""
        return heads

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the cases of a validation batch; after the last batch, copy the weights.

        A callback may use other weights during the validation only.
        """
        self._evaluate(batch)
        trainer = self.trainer
        is_fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if is_fitting and batch_idx + 1 == trainer.num_val_batches[0]:
            self.validated = {name: value.detach().clone() for name, value in self.state_dict().items()}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the cases of a test batch."""
        self._evaluate(batch)

    def _evaluate(self, batch: Batch) -> None:
        logits = self.evaluation_logits(batch["image"])
        self._losses.append(self.loss(logits, self.target(batch)).detach() * len(batch["id"]))
        self._rows += self.rows({name: values.float() for name, values in self.heads(logits).items()}, batch)

    def on_validation_epoch_start(self) -> None:
        """Reset the cases of the last evaluation."""
        self._rows, self._losses = [], []
        if self.trainer.world_size > 1:  # the batch statistics of each process come from its own share
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_test_epoch_start(self) -> None:
        """Reset the cases of the last evaluation."""
        self._rows, self._losses = [], []

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all cases of the epoch."""
        self._log_cases("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of all cases."""
        self._log_cases("test")

    def _log_cases(self, part: str) -> None:
        self.cases = pd.DataFrame(interleave(self.trainer, self._rows))
        self.mean_loss = float(sum_over_processes(self.trainer, torch.stack(self._losses).sum()) / len(self.cases))
        self.log(f"{part}/loss", self.mean_loss, prog_bar=part == "val")
        for name, value in metrics_of(self.cases).items():
            if name in _LOGGED:
                # An undefined metric is logged as NaN: a callback that monitors it needs the key.
                in_bar = f"{part}/{name}" == self.monitor
                self.log(f"{part}/{name}", float("nan") if value is None else value, prog_bar=in_bar)

    def configure_optimizers(self) -> Any:
        """Build optimizer and scheduler."""
        assert self.make_optimizer, "a task without an optimizer is only evaluated"
        optimizer = self.make_optimizer(self.parameters())
        if self.make_scheduler is None:
            return optimizer
        # `on_train_epoch_end` steps a plateau scheduler: Lightning would warn in epochs without a validation.
        scheduler = {"scheduler": self.make_scheduler(optimizer), "reduce_on_plateau": False}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Do nothing: `on_train_epoch_end` steps before the checkpoint of the epoch.

        Lightning steps after it writes `last.ckpt`, and a resumed run would miss that step.
        """

    def on_train_epoch_end(self) -> None:
        """Step the scheduler; a plateau scheduler only if this epoch was validated."""
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            if self.validated:
                scheduler.step(self.trainer.callback_metrics["val/loss"])
        elif scheduler is not None:
            scheduler.step()
