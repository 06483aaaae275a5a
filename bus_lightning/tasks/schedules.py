"""Learning rates over the epochs of a training."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, epochs: int, warmup_epochs: int = 2, floor: float = 0.01) -> LambdaLR:
    """Raise the learning rate evenly over the first epochs, then lower it along half a cosine.

    Args:
        optimizer: The optimizer; its learning rate is the highest.
        epochs: Number of epochs of the training.
        warmup_epochs: Number of epochs with a lower learning rate at the start: 1/3 and 2/3 of it with 2. At most
            `epochs - 1` are used.
        floor: Learning rate at the end of the last epoch, as a share of the highest, in [0, 1].

    References:
        Loshchilov and Hutter, SGDR, 2017 (cosine, without restarts); Goyal et al., 2017 (warm-up).
    """
    warmup = min(warmup_epochs, epochs - 1)

    def factor(epoch: int) -> float:
        if epoch < warmup:
            return (epoch + 1) / (warmup + 1)
        done = min((epoch - warmup) / (epochs - warmup), 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)
