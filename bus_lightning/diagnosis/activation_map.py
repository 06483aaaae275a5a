"""Class activation maps: which places of the image the classifier's answer comes from, without a gradient.

For a network that ends in global average pooling and one linear layer, the map equals Grad-CAM up to a factor.
"""

import cv2
import numpy as np


def class_activation(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight the channels of the last feature map by a class's row of the last linear layer, and clip at 0.

    Args:
        features: (F, h, w) float32.
        weights: (F,) float32.

    Returns:
        (h, w) float32 in [0, 1] with a maximum of 1; all 0 if no place supports the class.

    References:
        Zhou et al., Learning Deep Features for Discriminative Localization, 2016.
    """
    heat = np.maximum(np.tensordot(weights, features, axes=1), 0).astype(np.float32)
    highest = heat.max()
    return heat / highest if highest > 0 else heat


def restore(square: np.ndarray, box: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
    """Resize the box (top, left, height, width) of a (size, size) float32 map to an image's shape (H, W), bilinear."""
    top, left, height, width = box
    inside = np.ascontiguousarray(square[top : top + height, left : left + width])
    return cv2.resize(inside, shape[::-1], interpolation=cv2.INTER_LINEAR)


def place(
    heat: np.ndarray, size: int, box: tuple[int, int, int, int], part: tuple[slice, slice], shape: tuple[int, int]
) -> np.ndarray:
    """Put a class activation map, (h, w) float32, back into an image of a shape (H, W), 0 outside the part.

    The network saw the `part`, rows and columns, in the `box` (top, left, height, width) of its square of side `size`.
    """
    square = cv2.resize(heat, (size, size), interpolation=cv2.INTER_LINEAR)
    rows, columns = (len(range(*side.indices(length))) for side, length in zip(part, shape, strict=True))
    inside = restore(square, box, (rows, columns))
    if inside.shape == shape:
        return inside
    whole = np.zeros(shape, np.float32)
    whole[part] = inside
    return whole
