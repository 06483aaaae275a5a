"""The class activation map: where a classifier saw what speaks for its answer, without a gradient.

For a network that ends in global average pooling and one linear layer it equals Grad-CAM up to a factor.
"""

import cv2
import numpy as np


def class_activation(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weigh the channels of the last feature map by what they mean for a class.

    Args:
        features: (F, h, w) float32, the last feature map.
        weights: (F,) float32, the class's row of the last linear layer.

    Returns:
        (h, w) float32 in [0, 1], the most of the map being 1; all 0 where nothing speaks for the class.

    References:
        Zhou et al., Learning Deep Features for Discriminative Localization, 2016.
    """
    heat = np.maximum(np.tensordot(weights, features, axes=1), 0).astype(np.float32)
    most = heat.max()
    return heat / most if most > 0 else heat


def restore(square: np.ndarray, box: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
    """Bring a map from the network's square back to an image's own resolution.

    Args:
        square: (size, size) float32.
        box: Where the image lies in the square: top, left, height, width.
        shape: (H, W) of the image.

    Returns:
        (H, W) float32, bilinear in between.
    """
    top, left, height, width = box
    inside = np.ascontiguousarray(square[top : top + height, left : left + width])
    return cv2.resize(inside, shape[::-1], interpolation=cv2.INTER_LINEAR)


def place(
    heat: np.ndarray, size: int, box: tuple[int, int, int, int], part: tuple[slice, slice], shape: tuple[int, int]
) -> np.ndarray:
    """Bring a class activation map back to the image, of which the network may have seen a part.

    Args:
        heat: (h, w) float32.
        size: Side of the network's square.
        box: Where the part lies in the square: top, left, height, width.
        part: Rows and columns of the image that the network saw.
        shape: (H, W) of the image.

    Returns:
        (H, W) float32, 0 outside of the part.
    """
    square = cv2.resize(heat, (size, size), interpolation=cv2.INTER_LINEAR)
    rows, columns = part
    seen = restore(square, box, (rows.stop - rows.start, columns.stop - columns.start))
    if seen.shape == shape:
        return seen
    whole = np.zeros(shape, np.float32)
    whole[part] = seen
    return whole
