"""Resize images by one rule, in training, in diagnosis and for every displayed picture."""

import cv2
import numpy as np


def resize(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize each axis separately: a shrinking axis is averaged over area, a growing axis is interpolated linearly.

    The shrinking axes come first, because OpenCV's INTER_AREA averages only if no axis grows.

    Args:
        array: (H, W) or (H, W, C), uint8 or float32.
        shape: The new (height, width).

    Returns:
        (height, width) or (height, width, C), same dtype; equal channels stay equal.
    """
    height, width = shape
    smaller = min(height, array.shape[0]), min(width, array.shape[1])
    if smaller != array.shape[:2]:
        array = cv2.resize(array, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != (height, width):
        array = cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)
    return array
