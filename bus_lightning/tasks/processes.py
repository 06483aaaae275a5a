"""Exchange values between the processes that train one network; a single process exchanges none."""

from itertools import chain, zip_longest
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from torch import Tensor

T = TypeVar("T")


def sum_over_processes(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """Add up a number over all processes."""
    if trainer.world_size == 1:
        return value
    return trainer.strategy.reduce(value.to(trainer.strategy.root_device).clone(), reduce_op="sum")


def gather(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """Gather a number from all processes, (processes,) on the CPU."""
    if trainer.world_size == 1:
        return value.cpu().reshape(1)
    return trainer.strategy.all_gather(value.to(trainer.strategy.root_device)).cpu()


def interleave(trainer: pl.Trainer, entries: list[T]) -> list[T]:
    """Join the entries of all processes, each of which has every n-th image, in the order of the images."""
    if trainer.world_size == 1:
        return entries
    shares: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(shares, entries)
    missing = object()
    rounds = zip_longest(*shares, fillvalue=missing)
    return [entry for entry in chain.from_iterable(rounds) if entry is not missing]
