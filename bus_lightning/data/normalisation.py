"""Normalise images to the inputs of a network."""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor


class Normalisation:
    """Normalise uint8 images to float32 inputs of a network.

    Args:
        mean, std: Per channel, for inputs in [0, 1].
        channels: 3; or 1 for grey, which uses the first mean and deviation; or 4, the last a mask: -1 outside the
            lesion and 1 on it.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], channels: int = 3) -> None:
        means, deviations = (torch.tensor([*values, 0.5][:channels]) for values in (mean, std))
        self.scale = (1 / (255 * deviations)).reshape(1, -1, 1, 1)
        self.shift = (means / deviations).reshape(1, -1, 1, 1)
        self.channels = channels

    def on(self, device: torch.device) -> "Normalisation":
        """Copy the factors to a device, once: a copy in each batch would wait for the device."""
        moved = copy(self)
        moved.scale, moved.shift = self.scale.to(device), self.shift.to(device)
        return moved

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise (B, 3 or 4, H, W) uint8 to (B, channels, H, W) float32, in the same memory layout."""
        levels = grey(images.float()) if self.channels == 1 else images.float()
        return levels.mul_(self.scale).sub_(self.shift)


def grey(pixels: Tensor) -> Tensor:
    """Weigh red, green and blue as ITU-R BT.601 and OpenCV do: (B, 3, H, W) float to (B, 1, H, W)."""
    return 0.299 * pixels[:, :1] + 0.587 * pixels[:, 1:2] + 0.114 * pixels[:, 2:]
