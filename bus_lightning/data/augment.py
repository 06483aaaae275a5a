"""Augment training images at random; the only module that uses albumentations."""

import math
import random
import warnings
from collections.abc import Mapping
from typing import Any

import albumentations
import cv2
import numpy as np

from bus_lightning.config.build import build
from bus_lightning.core.errors import UserError
from bus_lightning.core.randomness import stable_hash

_TRANSFORMS = {
    "horizontal_flip": albumentations.HorizontalFlip,
    "vertical_flip": albumentations.VerticalFlip,
    "rotation": albumentations.Rotate,
    "color_jitter": albumentations.ColorJitter,
    "gaussian_blur": albumentations.GaussianBlur,
}
_LESION_CROP = "lesion_crop"
_MARGIN = 2  # pixels around the lesion, so that rounding cuts nothing off
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
        transforms: Name of a transform -> its options, including `p`, its probability; applied in this order. The names
            are those of the paper's five transforms; `lesion_crop`, which crops at random without cutting a lesion; or
            any other name, whose options have a `_target_`: a transform of albumentations, or of the user. A number
            under `strength` multiplies the strengths of the paper's transforms.

    Raises:
        UserError: If a name or an option does not exist.
    """

    def __init__(self, transforms: Mapping[str, Any]) -> None:
        transforms = at_strength(transforms)
        self.steps = [_make(name, options) for name, options in transforms.items()]
        # The paper's transforms share one stream of random numbers. Each other one has its own: adding it, or removing
        # it, leaves the others as they are.
        self._alone = {name: step for name, step in zip(transforms, self.steps, strict=True) if name not in _TRANSFORMS}
        self._crops = _LESION_CROP in transforms
        boxes = albumentations.BboxParams("pascal_voc", clip=True) if self._crops else None
        self._compose = albumentations.Compose(self.steps, bbox_params=boxes)

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
        for name, step in self._alone.items():
            own = stable_hash("transform", name, seed)
            step.set_random_state(np.random.default_rng(own), random.Random(own))
        boxes = {"bboxes": _box(mask)} if self._crops else {}
        if image.shape[2] < 4:
            changed = self._compose(image=image, mask=mask, **boxes)
            return changed["image"], changed["mask"]
        changed = self._compose(image=np.ascontiguousarray(image[..., :3]), masks=[mask, image[..., 3]], **boxes)
        mask, fourth = changed["masks"]
        return np.dstack([changed["image"], fourth]), mask


def _make(name: str, options: Any) -> Any:
    """Make one transform."""
    if isinstance(options, Mapping) and "_target_" in options:
        return _make_any(name, options)
    if name == _LESION_CROP:
        make: Any = albumentations.RandomSizedBBoxSafeCrop
        fixed: dict[str, Any] = {}
    elif name in _TRANSFORMS:
        make = _TRANSFORMS[name]
        fixed = {"border_mode": cv2.BORDER_CONSTANT} if name == "rotation" else {}
    else:
        known = ", ".join([*_TRANSFORMS, _LESION_CROP])
        raise UserError(
            f"augment.{name} is unknown: choose from {known}, or give it a _target_ such as albumentations.Affine."
        )
    try:
        # Without `strict`, an option that does not exist only causes a warning.
        made = make(**fixed, **options, strict=True)
    except (TypeError, ValueError) as error:
        raise UserError(f"augment.{name}: {' '.join(str(error).split())}") from error
    # The library divides by sigma: of 0, as by `strength: 0`, it makes a kernel of NaN, and the image would be lost.
    return albumentations.NoOp(p=made.p) if name == "gaussian_blur" and made.sigma_limit[1] == 0 else made


def _make_any(name: str, options: Mapping[str, Any]) -> Any:
    """Make a transform that the config names by its class."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library only warns of an option that does not exist
        transform = build(dict(options), None, f"augment.{name}")
    if not isinstance(transform, albumentations.BasicTransform | albumentations.BaseCompose):
        made = type(transform).__name__
        raise UserError(f"augment.{name} ({options['_target_']}) makes a {made}, which is not a transform.")
    return transform


def _box(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return left, top, right and bottom of all lesions together, in pixels; nothing if there is none."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return []
    bottom, right = mask.shape[0], mask.shape[1]
    return [(max(left - _MARGIN, 0), max(top - _MARGIN, 0),
             min(left + width + _MARGIN, right), min(top + height + _MARGIN, bottom))]  # fmt: skip
