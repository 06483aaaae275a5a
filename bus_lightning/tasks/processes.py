"""What several processes that train one network tell each other; with one process, nothing."""

from itertools import chain, zip_longest
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from torch import Tensor

T = TypeVar("T")


def in_all(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """Add a number up over all processes."""
    if trainer.world_size == 1:
        return value
    return trainer.strategy.reduce(value.to(trainer.strategy.root_device).clone(), reduce_op="sum")


def of_each(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """Gather a number from all processes, (processes,) on the CPU."""
    if trainer.world_size == 1:
        return value.cpu().reshape(1)
    return trainer.strategy.all_gather(value.to(trainer.strategy.root_device)).cpu()


def interleaved(trainer: pl.Trainer, found: list[T]) -> list[T]:
    """Put together what each process has found about every n-th image, in the order of the images.

    Args:
        trainer: Knows the processes.
        found: One entry per image of this process.
    """
    if trainer.world_size == 1:
        return found
    shares: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(shares, found)
    missing = object()
    rounds = zip_longest(*shares, fillvalue=missing)
    return [entry for entry in chain.from_iterable(rounds) if entry is not missing]
