"""Random changes of the training images: the one place that knows albumentations."""

import os
import random
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the internet for news when it is imported

import albumentations
import cv2
import numpy as np

from bus_lightning.errors import UserError

_TRANSFORMS = {
    "horizontal_flip": albumentations.HorizontalFlip,
    "vertical_flip": albumentations.VerticalFlip,
    "rotation": albumentations.Rotate,
    "color_jitter": albumentations.ColorJitter,
    "gaussian_blur": albumentations.GaussianBlur,
}


class Augmentation:
    """Change image and mask together, decided by a seed alone.

    Args:
        transforms: Name of a transform -> its options, `p` (its probability) among them; in the order given.

    Raises:
        UserError: For a name or an option that does not exist.
    """

    def __init__(self, transforms: Mapping[str, Mapping[str, Any]]) -> None:
        self.steps: list[albumentations.BasicTransform] = []
        for name, options in transforms.items():
            if name not in _TRANSFORMS:
                raise UserError(f"augment.{name} is unknown: choose from {', '.join(_TRANSFORMS)}.")
            fixed = {"border_mode": cv2.BORDER_CONSTANT} if name == "rotation" else {}
            try:
                # Without `strict`, an option that does not exist is only warned of.
                self.steps.append(_TRANSFORMS[name](**fixed, **options, strict=True))
            except (TypeError, ValueError) as error:
                raise UserError(f"augment.{name}: {' '.join(str(error).split())}") from error
        self._compose = albumentations.Compose(self.steps)

    def __call__(self, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Augment one image.

        Args:
            image: (H, W, 3) uint8, or (H, W, 1), which gives the same grey levels as three equal channels.
            mask: (H, W) uint8.
            seed: Decides everything, in whichever process it is used.
        """
        # set_random_seed would start every transform from the same number: whatever flips once would flip twice.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = self._compose(image=image, mask=mask)
        return changed["image"], changed["mask"]
