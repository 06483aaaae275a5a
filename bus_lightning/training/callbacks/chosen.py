"""Build the callbacks of a config, and refuse those whose results could not be trusted."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
)
from omegaconf import DictConfig

from bus_lightning.config.build import build
from bus_lightning.core.errors import UserError

_REFUSED = {
    StochasticWeightAveraging: "sets its averaged weights after the last validation, so the kept weights would have no "
    "score: use callbacks=ema or lightning.pytorch.callbacks.WeightAveraging, whose averages are validated",
    ModelPruning: "renames the network's tensors, so the checkpoint would not fit the network of the config: remove it",
    Timer: "ends the training after a time, so the same command could give different results: use trainer.max_epochs",
    LearningRateFinder: "trains with another learning rate than the config states: use optimizer.lr or sweep=search",
    BatchSizeFinder: "trains with a batch size that depends on the machine: use debug=batch_size, then data.batch_size",
}
_OF_DEBUG = "batch_size"  # the callback of debug=batch_size, whose run only finds the size


def chosen_callbacks(nodes: DictConfig, last: Path, shows_bar: bool) -> list[pl.Callback]:
    """Build the callbacks of a config.

    Args:
        nodes: The config group `callbacks`.
        last: Path of last.ckpt.
        shows_bar: Whether a progress bar is built.

    Returns:
        The callbacks, in the order of the config; without a progress bar if `shows_bar` is false.

    Raises:
        UserError: If one cannot be built, is no callback, or is one of `_REFUSED`.
    """
    runtime: dict[str, Any] = {"checkpoint": {"path": last}}  # options that depend on the run
    callbacks = []
    for name, node in {str(name): node for name, node in nodes.items() if node}.items():
        if str(node.get("_target_")).startswith("lightning.") and node._target_.endswith(".EarlyStopping"):
            target = "bus_lightning.training.callbacks.stopping.EarlyStopping"
            node = {"check_finite": False, **node, "_target_": target}
        callback = build(node, **runtime.get(name, {}))
        if not isinstance(callback, pl.Callback):
            raise UserError(
                f"callbacks.{name} ({node.get('_target_')}) is not a callback: "
                "use a subclass of lightning.pytorch.Callback."
            )
        for kind, why in _REFUSED.items():
            if isinstance(callback, kind) and name != _OF_DEBUG:
                raise UserError(f"callbacks.{name}: {kind.__name__} {why}.")
        if shows_bar or not isinstance(callback, ProgressBar):
            callbacks.append(callback)
    return callbacks
