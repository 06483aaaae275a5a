"""best.ckpt, the weights that are kept, and last.ckpt, what resuming needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bus_lightning.files import aside
from bus_lightning.models.weights import read_checkpoint
from bus_lightning.run_dir import RunDir


class SafeCheckpointIO(TorchCheckpointIO):
    """Write checkpoints aside and rename them; read them without running code that they may hold."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; on a full disk the previous one stays whole."""
        with aside(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

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


def checkpoint_callbacks(run: RunDir, monitor: str | None, mode: str) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Make the two callbacks that keep checkpoints.

    Args:
        run: Where they go.
        monitor: Metric whose best epoch is kept; None keeps the last epoch.
        mode: max or min.

    Returns:
        The one for best.ckpt and the one for last.ckpt, in the order in which they must run: last.ckpt holds the
        other's best score.
    """
    best = MovableCheckpoint(
        dirpath=run.checkpoints, filename="best", monitor=monitor, mode=mode, save_weights_only=True,
        enable_version_counter=False, auto_insert_metric_name=False,
        # Without a validation set the end of the training epoch is the only moment there is.
        save_on_train_epoch_end=monitor is None,
    )  # fmt: skip
    last = MovableCheckpoint(
        dirpath=run.checkpoints, filename="last", every_n_epochs=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip
    return best, last
