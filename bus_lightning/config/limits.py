"""Limits on the number of batches of each part; a share below one batch becomes one batch."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

_LIMITS = {"limit_train_batches": "train", "limit_val_batches": "val", "limit_test_batches": "test"}
_FITTED = ("train", "val")  # parts that a training reads


def at_least_one_batch(trainer: DictConfig, images: Mapping[str, int], batch_size: int) -> dict[str, Any]:
    """Raise shares below one batch to one batch, because Lightning refuses them.

    Lightning also validates on `overfit_batches`, whose share of the validation images may be below one batch: the
    share then becomes the number of training batches.

    Args:
        trainer: The config group `trainer`, with `limit_*_batches` and `overfit_batches`.
        images: Part (`train`, `val`, `test`) -> number of images; other parts are ignored.
        batch_size: Batch size of all devices together.

    Returns:
        Options for the Trainer that replace those in the config.
    """
    raised: dict[str, Any] = {}
    for option, part in _LIMITS.items():
        share, batches = trainer.get(option), max(1, images.get(part, 0) // batch_size)
        if part in images and isinstance(share, float) and 0 < share * batches < 1:
            raised[option] = 1
    share, (train, val) = trainer.get("overfit_batches"), (-(-images.get(part, 0) // batch_size) for part in _FITTED)
    if isinstance(share, float) and 0 < share <= 1 and min(int(share * train), int(share * val)) < 1:
        raised["overfit_batches"] = max(1, int(share * train))
    return raised


def are_limited(trainer: DictConfig) -> str | None:
    """Return the option that limits the evaluated images, such as `trainer.limit_test_batches=2`; None if none does."""
    for option in ("limit_val_batches", "limit_test_batches", "overfit_batches"):
        limit = trainer.get(option)
        if limit and not (isinstance(limit, float) and limit == 1):  # 1.0 is all of them, and 1 one batch
            return f"trainer.{option}={limit}"
    return None
