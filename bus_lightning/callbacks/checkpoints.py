"""best.ckpt, the weights that are kept, and last.ckpt, what resuming needs."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bus_lightning.files import aside
from bus_lightning.interruption import Deferral, Interrupted
from bus_lightning.models.weights import read_checkpoint
from bus_lightning.run_dir import RunDir

_SIGNAL_CHECK = 10  # steps: how often several processes ask each other whether one was told to stop


class SafeCheckpointIO(TorchCheckpointIO):
    """Write checkpoints aside and rename them; read them without running code that they may hold."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; on a full disk the previous one stays whole."""
        # Closed here: a file that torch holds open takes its place on a full disk even when it is removed.
        with aside(Path(path)) as temporary, temporary.open("wb") as stream:
            try:
                torch.save(checkpoint, stream)
            except RuntimeError as error:
                if isinstance(cause := error.__context__, OSError):  # torch hides why it could not write
                    raise OSError(cause.errno, cause.strerror, str(path)) from error
                raise

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint of plain values and tensors."""
        return read_checkpoint(Path(path))


class MovableCheckpoint(ModelCheckpoint):
    """Remember the best score also when the run's folder was moved; Lightning forgets it then."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state, with every path in the folder where the run is now."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"dirpath": str(self.dirpath), "best_k_models": best})


class ResumePoint(Checkpoint):
    """Write last.ckpt after each epoch, every so many steps, and before a signal stops the training.

    Signals are held back while a step or a validation runs. What is written between two steps lets the run go on with
    the next batch; at the end of an epoch the validation comes first.

    Args:
        path: last.ckpt.
        every_n_train_steps: Also write it after so many steps of the optimizer; None leaves it at the epochs.
    """

    def __init__(self, path: Path, every_n_train_steps: int | None = None) -> None:
        self.path, self.every = path, every_n_train_steps
        self.signals = Deferral()
        self._stopped_early = False
        self._saved = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hold signals back; a training that had been stopped early stays so."""
        trainer.should_stop = trainer.should_stop or self._stopped_early
        self._saved = trainer.global_step
        self.signals.hold()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write last.ckpt between two steps, when it is time."""
        # Gradients that are still added up are in no checkpoint, and the last step's turn comes after the validation.
        if trainer.fit_loop._should_accumulate() or batch_idx + 1 >= trainer.num_training_batches:
            return
        stopping = self._told_to_stop(trainer, batch_idx)
        due = self.every and trainer.global_step % self.every == 0
        if (stopping or due) and trainer.global_step != self._saved:
            self._save(trainer)
        if stopping:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write last.ckpt, which by now knows the epoch's history and best score."""
        self._save(trainer)
        if self._told_to_stop(trainer):
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let signals through."""
        self.signals.release()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let signals through; of several processes, the others would wait for the one that failed."""
        if trainer.strategy.launcher and not isinstance(exception, Interrupted):
            trainer.strategy.launcher.kill(signal.SIGTERM)
        self.signals.release()

    def state_dict(self) -> dict[str, Any]:
        """Remember whether early stopping has ended the training, which its own state does not say."""
        return {"stopped_early": self._stopped_early}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was remembered."""
        self._stopped_early = state_dict.get("stopped_early", False)

    def _save(self, trainer: pl.Trainer) -> None:
        self._stopped_early, self._saved = trainer.should_stop, trainer.global_step
        trainer.save_checkpoint(self.path)

    def _told_to_stop(self, trainer: pl.Trainer, batch_idx: int = 0) -> bool:
        """Tell whether a signal waits, in any of the processes."""
        waits = self.signals.received is not None
        if trainer.world_size == 1:
            return waits
        return batch_idx % _SIGNAL_CHECK == 0 and trainer.strategy.reduce_boolean_decision(waits, all=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        """Let the signal do what it would have done; of several processes all stop at the same step."""
        if trainer.world_size > 1:
            raise Interrupted(self.signals.drop() or signal.SIGTERM)
        self.signals.release()
        self.signals.hold()  # whoever received the signal wants to go on


def best_checkpoint(run: RunDir, monitor: str | None, mode: str) -> ModelCheckpoint:
    """Make the callback that keeps best.ckpt.

    Args:
        run: Where it goes.
        monitor: Metric whose best epoch is kept; None keeps the last epoch.
        mode: max or min.
    """
    return MovableCheckpoint(
        dirpath=run.checkpoints, filename="best", monitor=monitor, mode=mode, save_weights_only=True,
        enable_version_counter=False, auto_insert_metric_name=False,
        # Without a validation set the end of the training epoch is the only moment there is.
        save_on_train_epoch_end=monitor is None,
    )  # fmt: skip
