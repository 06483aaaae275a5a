"""Augment a whole batch on its device, as `augment` does image by image on the CPU."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation, at_strength
from bus_lightning.data.normalisation import grey

# Name -> its strengths, each with its neutral value; in the order of application.
_STRENGTHS: dict[str, dict[str, float]] = {
    "horizontal_flip": {},
    "vertical_flip": {},
    "rotation": {"limit": 0},
    "color_jitter": {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0},
    "gaussian_blur": {"sigma_limit": 0},
}


class BatchAugmentation:
    """Change a batch of images and masks on their device, each decided by its own seed.

    It draws from the distributions of `Augmentation`, but the same seed gives other numbers.

    Args:
        transforms: As for `Augmentation`.

    Raises:
        UserError: If a name or an option does not exist, or only works on the CPU.
    """

    def __init__(self, transforms: Mapping[str, Any]) -> None:
        transforms = at_strength(transforms)
        for name, options in transforms.items():
            if isinstance(options, Mapping) and "_target_" in options:  # refused before it is made
                raise UserError(f"augment.{name} needs the CPU: remove it, or set data.on_device=false.")
        # The library checks the options and adds its defaults: both paths read a config in the same way.
        self._steps = dict(zip(transforms, Augmentation(transforms).steps, strict=True))
        for name in self._steps:
            if unsupported := ", ".join(set(transforms[name]) - {"p", *_STRENGTHS.get(name, ())}):
                raise UserError(f"augment.{name}: {unsupported} needs the CPU: remove it, or set data.on_device=false.")
        if list(self._steps) != [name for name in _STRENGTHS if name in self._steps]:
            raise UserError(f"augment: use the order {', '.join(_STRENGTHS)}, or set data.on_device=false.")

    def __call__(self, images: Tensor, masks: Tensor, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Augment a batch without waiting for the device.

        Args:
            images: (B, 3, H, W) uint8, in any memory format; a fourth channel is a mask and is changed like the masks.
            masks: (B, 1, H, W) uint8 in {0, 1}, on the device of the images.
            seeds: B integers; each decides everything about its image, independently of the batch.

        Returns:
            Images (B, 3 or 4, H, W) uint8 and masks (B, 1, H, W) uint8 in {0, 1}.
        """
        if not self._steps:
            return images, masks
        images, fourth = images[:, :3], images[:, 3:]
        masks = torch.cat([masks, fourth], dim=1)
        drawn = torch.from_numpy(self._draw(seeds, *images.shape[2:]))
        # From pageable memory even a non-blocking copy may wait for the device.
        drawn = (drawn.pin_memory() if images.is_cuda else drawn).to(images.device, non_blocking=True)
        warp, factors, kernels = drawn[:, :4], drawn[:, 4:8], drawn[:, 8:]
        with torch.autocast(images.device.type, enabled=False):
            pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
            if self._steps.keys() & {"horizontal_flip", "vertical_flip", "rotation"}:
                grid = _grid(warp, *images.shape[2:])
                pixels = F.grid_sample(pixels, grid, align_corners=False)
                masks = F.grid_sample(masks.float(), grid, mode="nearest", align_corners=False).to(masks.dtype)
            if "color_jitter" in self._steps:
                pixels = _jitter(pixels, *factors[:, :, None, None, None].unbind(1))
            if "gaussian_blur" in self._steps:
                pixels = _blur(pixels, kernels)
            return torch.cat([pixels.round().clamp(0, 255).to(torch.uint8), masks[:, 1:]], dim=1), masks[:, :1]

    def _draw(self, seeds: Sequence[int], height: int, width: int) -> np.ndarray:
        """Draw all numbers for every image: (B, 8 + taps) float32, 4 for the warp, 4 factors, one kernel."""
        names = [(name, option) for name, strengths in _STRENGTHS.items() for option in ("p", *strengths)]
        # Absent transforms draw too: removing one does not change the others.
        uniform = np.stack([np.random.default_rng(seed).random(len(names)) for seed in seeds], axis=1)
        drawn = dict(zip(names, uniform, strict=True))

        def applied(name: str) -> np.ndarray:
            return drawn[name, "p"] < getattr(self._steps.get(name), "p", 0)

        def strength(name: str, option: str) -> np.ndarray:
            low, high = getattr(self._steps.get(name), option, (0, 0))
            return np.where(applied(name), low + (high - low) * drawn[name, option], _STRENGTHS[name][option])

        flip_x, flip_y = (1 - 2 * applied(name) for name in ("horizontal_flip", "vertical_flip"))
        angle = np.deg2rad(strength("rotation", "limit"))
        cos, sin = np.cos(angle), np.sin(angle)
        warp = [flip_x * cos, -flip_x * sin * height / width, flip_y * sin * width / height, flip_y * cos]
        factors = [strength("color_jitter", option) for option in _STRENGTHS["color_jitter"]]
        sigma = strength("gaussian_blur", "sigma_limit")
        radius = int(3.5 * getattr(self._steps.get("gaussian_blur"), "sigma_limit", (0, 0))[1])
        taps = np.arange(-radius, radius + 1)[:, None]
        # Pillow's rule for the size of the kernel, which albumentations follows; a kernel of 1 changes nothing.
        kernel = np.exp(-0.5 * (taps / sigma.clip(1e-3)) ** 2) * (abs(taps) <= (3.5 * sigma).astype(int))
        return np.concatenate([warp, factors, kernel / kernel.sum(0)]).T.astype(np.float32, order="C")


def _grid(warp: Tensor, height: int, width: int) -> Tensor:
    """Compute where in [-1, 1] each pixel comes from, x before y: (B, 2 * 2) -> (B, H, W, 2).

    `affine_grid` multiplies matrices, and TF32 would move the pixels of a flip.
    """
    x, y = ((2 * torch.arange(n, device=warp.device) + 1) / n - 1 for n in (width, height))
    by_x, by_y = warp.view(-1, 1, 1, 2, 2).unbind(-1)
    return x[:, None] * by_x + y[:, None, None] * by_y


def _jitter(pixels: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Change the colours of (B, 3, H, W) in [0, 255], by factors and a share of the circle, each (B, 1, 1, 1).

    The order is fixed, while albumentations shuffles: the steps commute except for clipping, and for the small effect
    of the hue on the grey.
    """
    pixels = (pixels * brightness).clamp(0, 255)
    # In float64 the mean is the same for any batch size, however the device splits the sum.
    mean = grey(pixels).mean((2, 3), keepdim=True, dtype=torch.float64).float()
    pixels = torch.lerp(mean, pixels, contrast).clamp(0, 255)
    pixels = torch.lerp(grey(pixels), pixels, saturation).clamp(0, 255)
    red, green, blue = pixels.chunk(3, 1)
    value = pixels.amax(1, keepdim=True)
    chroma = value - pixels.amin(1, keepdim=True)
    sector = torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    sector = torch.where(value == red, green - blue, sector) / chroma.clamp(min=1e-6) + 6 * hue
    # Back from HSV in closed form: each channel is reduced by its distance from the hue on the circle.
    turned = (sector + torch.arange(5, 0, -2, device=pixels.device).view(3, 1, 1)) % 6
    return value - chroma * turned.minimum(4 - turned).clamp(0, 1)


def _blur(pixels: Tensor, kernels: Tensor) -> Tensor:
    """Blur (B, 3, H, W) with a kernel (B, taps) for each image, mirrored at the borders."""
    batch, channels, height, width = pixels.shape
    radius, weight = kernels.shape[1] // 2, kernels.repeat_interleave(channels, 0)[:, None, None]
    padded = F.pad(pixels, [radius] * 4, mode="reflect").view(1, batch * channels, height + 2 * radius, -1)
    blurred = F.conv2d(F.conv2d(padded, weight, groups=len(weight)), weight.mT, groups=len(weight))
    return blurred.view(batch, channels, height, width)
