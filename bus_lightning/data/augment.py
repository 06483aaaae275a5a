"""Augment training images at random; the only module that uses albumentations."""

import math
import random
from collections.abc import Mapping
from typing import Any

import albumentations
import cv2
import numpy as np

from bus_lightning.core.errors import UserError

_TRANSFORMS = {
    "horizontal_flip": albumentations.HorizontalFlip,
    "vertical_flip": albumentations.VerticalFlip,
    "rotation": albumentations.Rotate,
    "color_jitter": albumentations.ColorJitter,
    "gaussian_blur": albumentations.GaussianBlur,
}
# Name -> the options that `strength` multiplies.
_SCALED = {
    "rotation": ("limit",),
    "color_jitter": ("brightness", "contrast", "saturation", "hue"),
    "gaussian_blur": ("sigma_limit",),
}


def at_strength(transforms: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Multiply the strengths of transforms by the number under `strength`, if given.

    Args:
        transforms: Name of a transform -> its options; `strength` is a number of at least 0.

    Raises:
        UserError: If a strength cannot be multiplied.
    """
    scaled = dict(transforms)
    strength = scaled.pop("strength", 1)
    if strength == 1:
        return scaled
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength < math.inf:
        raise UserError(f"augment.strength={strength}: give a number of at least 0.")
    for name, options in _SCALED.items():
        if name in scaled:
            scaled[name] = {key: _times(strength, f"{name}.{key}", value) if key in options else value
                            for key, value in scaled[name].items()}  # fmt: skip
    return scaled


def _times(strength: float, key: str, value: Any) -> Any:
    if isinstance(value, int | float):
        return strength * value
    if key.startswith("color_jitter"):  # a range of factors is around 1, not 0
        raise UserError(f"augment.{key}={value}: augment.strength needs a single number, not a range.")
    return [strength * bound for bound in value]


class Augmentation:
    """Change image and mask together, decided by a seed alone.

    Args:
        transforms: Name of a transform -> its options, including `p`, its probability; applied in this order. A number
            under `strength` multiplies the strengths of all.

    Raises:
        UserError: If a name or an option does not exist.
    """

    def __init__(self, transforms: Mapping[str, Any]) -> None:
        self.steps: list[albumentations.BasicTransform] = []
        for name, options in at_strength(transforms).items():
            if name not in _TRANSFORMS:
                raise UserError(f"augment.{name} is unknown: choose from {', '.join(_TRANSFORMS)}.")
            fixed = {"border_mode": cv2.BORDER_CONSTANT} if name == "rotation" else {}
            try:
                # Without `strict`, an option that does not exist only causes a warning.
                self.steps.append(_TRANSFORMS[name](**fixed, **options, strict=True))
            except (TypeError, ValueError) as error:
                raise UserError(f"augment.{name}: {' '.join(str(error).split())}") from error
        self._compose = albumentations.Compose(self.steps)

    def __call__(self, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Augment one image.

        Args:
            image: (H, W, 3) uint8; or (H, W, 1), which gives the same grey levels as three equal channels; or
                (H, W, 4), whose last channel is a mask and is changed like the mask.
            mask: (H, W) uint8.
            seed: Decides everything, in any process.
        """
        # set_random_seed would start every transform from the same number: both flips would always happen together.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        if image.shape[2] < 4:
            changed = self._compose(image=image, mask=mask)
            return changed["image"], changed["mask"]
        changed = self._compose(image=np.ascontiguousarray(image[..., :3]), masks=[mask, image[..., 3]])
        mask, fourth = changed["masks"]
        return np.dstack([changed["image"], fourth]), mask
