"""Write best.ckpt, the kept weights, and last.ckpt, the state that a resumed run needs."""

import logging
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside
from bus_lightning.core.interruption import Deferral, Interrupted
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.runs.folder import RunDir
from bus_lightning.tasks.base import BusTask

log = logging.getLogger(__name__)
_SIGNAL_CHECK = 10  # steps: how often several processes check whether one of them has received a signal


class SafeCheckpointIO(TorchCheckpointIO):
    """Write checkpoints completely or not at all; read them without running code in them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: If it cannot be written, as on a full disk; the previous one stays.
        """
        # Closed here, because a removed file that torch holds open still fills the disk.
        with aside(Path(path)) as temporary, temporary.open("wb") as stream:
            try:
                torch.save(checkpoint, stream)
            except RuntimeError as error:
                if isinstance(cause := error.__context__, OSError):  # torch hides the reason
                    raise OSError(cause.errno, cause.strerror, str(path)) from error
                raise

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint of plain values and tensors."""
        return read_checkpoint(Path(path))


class MovableCheckpoint(ModelCheckpoint):
    """Keep the weights of the best epoch in best.ckpt, exactly as they were scored.

    The best epoch is the one with the best defined score. If no epoch has a defined score, it is the one with the
    lowest validation loss; if that is not finite either, or nothing is validated, it is the last epoch. Of equal epochs
    the first is kept.

    Do not rename the class: last.ckpt stores the state under its name. Lightning's own rules do not fit here: they save
    the weights after the validation, when an averaging callback has already swapped them back; they rank an undefined
    score as the worst; and they forget the best score if the run's folder was moved
    (https://github.com/Lightning-AI/pytorch-lightning/issues/12045).

    Attributes:
        kept_epoch: The epoch whose weights are in best.ckpt, counted from 0; None before the first epoch, and for a run
            that an older version began.
        kept_by: The criterion: the name of the metric, `val/loss` or `last epoch`.
    """

    kept_epoch: int | None = None
    kept_by = "last epoch"
    _rank: tuple[int, float] | None = None  # of the kept epoch: (2 score, 1 loss, 0 neither; higher is better)
    _has_warned = False

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Do nothing: an epoch is kept at its end."""

    def on_validation_end(self, *_: Any, **__: Any) -> None:
        """Do nothing: an epoch is kept at its end."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch, if it is the best one so far."""
        task = cast(BusTask, pl_module)
        weights, task.validated = task.validated, None
        if self.monitor and weights is None:
            return  # an epoch without a validation
        rank, by = self._judge(trainer, task)
        if self._rank is not None and rank <= self._rank:
            return
        self._rank, self.kept_by, self.kept_epoch = rank, by, trainer.current_epoch
        score = rank[1] if self.mode == "max" else -rank[1]
        self.best_model_score = torch.tensor(score, dtype=torch.float64) if by == self.monitor else None
        self.best_model_path = str(Path(str(self.dirpath)) / "best.ckpt")
        connector = trainer._checkpoint_connector
        checkpoint = connector.dump_checkpoint(weights_only=True)
        # Without a validation, take the weights that a full checkpoint would hold: callbacks may put an average there.
        checkpoint["state_dict"] = weights or connector.dump_checkpoint(weights_only=False)["state_dict"]
        trainer.strategy.save_checkpoint(checkpoint, self.best_model_path)
        trainer.strategy.barrier("best.ckpt")

    def _judge(self, trainer: pl.Trainer, task: BusTask) -> tuple[tuple[int, float], str]:
        """Rank the epoch, higher is better, and name the criterion."""
        if self.monitor is None:
            return (0, trainer.current_epoch), "last epoch"
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            known = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise UserError(f"task.monitor={self.monitor} is not measured in validation: choose one of {known}.")
        score, loss = float(metrics[self.monitor]), float(metrics["val/loss"])
        if math.isfinite(score):
            return (2, score if self.mode == "max" else -score), self.monitor
        if not self._has_warned and trainer.is_global_zero:
            self._has_warned = True
            why = metrics_of(task.cases)["undefined"].get(self.monitor.removeprefix("val/"), score)
            log.warning(
                "%s is undefined in epoch %d (%s): epochs where it is defined are preferred. If there are none, "
                "the epoch with the lowest val/loss is kept.", self.monitor, trainer.current_epoch, why,
            )  # fmt: skip
        return ((1, -loss), "val/loss") if math.isfinite(loss) else ((0, trainer.current_epoch), "last epoch")

    def state_dict(self) -> dict[str, Any]:
        """Return the state for last.ckpt: which epoch is kept, and why."""
        kept = {"kept_epoch": self.kept_epoch, "kept_by": self.kept_by, "rank": list(self._rank or ())}
        return super().state_dict() | kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state, with paths in the run's present folder; older versions stored only the best score."""
        self.best_model_score = score = state_dict["best_model_score"]
        self.best_model_path = str(Path(str(self.dirpath)) / "best.ckpt")
        self.kept_epoch, self.kept_by = state_dict.get("kept_epoch"), state_dict.get("kept_by", self.kept_by)
        if rank := state_dict.get("rank"):
            self._rank = (int(rank[0]), float(rank[1]))
        elif self.monitor and score is not None and math.isfinite(score):
            self.kept_by = self.monitor
            self._rank = (2, float(score) if self.mode == "max" else -float(score))


class ResumePoint(Checkpoint):
    """Write last.ckpt after each epoch, every few steps, and before a signal stops the training.

    Signals are held back during a step and a validation. A checkpoint between two steps resumes with the next batch; at
    the end of an epoch it is written after the validation.

    Args:
        path: last.ckpt.
        every_n_train_steps: Also write it after this many steps of the optimizer; None writes it after epochs only.
    """

    def __init__(self, path: Path, every_n_train_steps: int | None = None) -> None:
        self.path, self.every = path, every_n_train_steps
        self.signals = Deferral()
        self._stopped_early = False
        self._saved = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hold signals back; a training that early stopping has ended does not continue."""
        trainer.should_stop = trainer.should_stop or self._stopped_early
        self._saved = trainer.global_step
        self.signals.hold()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write last.ckpt between two steps, if it is due."""
        # A checkpoint holds no accumulated gradients, and the one after the last step comes after the validation.
        if trainer.fit_loop._should_accumulate() or batch_idx + 1 >= trainer.num_training_batches:
            return
        stopping = self._must_stop(trainer, batch_idx)
        due = self.every and trainer.global_step % self.every == 0
        if (stopping or due) and trainer.global_step != self._saved:
            self._save(trainer)
        if stopping:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write last.ckpt with the epoch's history and best score."""
        self._save(trainer)
        if self._must_stop(trainer):
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Release held signals."""
        self.signals.release()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Release held signals, and end the other processes, which would wait for the failed one."""
        if trainer.strategy.launcher and not isinstance(exception, Interrupted):
            trainer.strategy.launcher.kill(signal.SIGTERM)
        self.signals.release()

    def state_dict(self) -> dict[str, Any]:
        """Return whether early stopping has ended the training, which its own state lacks."""
        return {"stopped_early": self._stopped_early}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state."""
        self._stopped_early = state_dict.get("stopped_early", False)

    def _save(self, trainer: pl.Trainer) -> None:
        self._stopped_early, self._saved = trainer.should_stop, trainer.global_step
        trainer.save_checkpoint(self.path)

    def _must_stop(self, trainer: pl.Trainer, batch_idx: int = 0) -> bool:
        """Return whether any of the processes has received a signal."""
        waits = self.signals.received is not None
        if trainer.world_size == 1:
            return waits
        return batch_idx % _SIGNAL_CHECK == 0 and trainer.strategy.reduce_boolean_decision(waits, all=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        """Raise the held signal; several processes all stop at the same step."""
        if trainer.world_size > 1:
            raise Interrupted(self.signals.drop() or signal.SIGTERM)
        self.signals.release()
        self.signals.hold()  # the handler of the signal has returned: the training continues


def best_checkpoint(run: RunDir, monitor: str | None, mode: str) -> MovableCheckpoint:
    """Make the callback that keeps best.ckpt.

    Args:
        run: The run's folder.
        monitor: Metric whose best epoch is kept; None keeps the last epoch.
        mode: max or min.
    """
    return MovableCheckpoint(
        dirpath=run.checkpoints, filename="best", monitor=monitor, mode=mode, save_weights_only=True,
        enable_version_counter=False, auto_insert_metric_name=False,
    )  # fmt: skip
