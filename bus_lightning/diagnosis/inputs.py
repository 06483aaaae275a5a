"""Prepare an image for a network in the order of training: crop, clean, resize, draw the mask, normalise."""

import cv2
import numpy as np

from bus_lightning.data.preprocess import prepare_new
from bus_lightning.diagnosis.stage import Stage


class Input:
    """An image as a network takes it.

    The network sees the `part` (rows, columns) of the image in the `box` (top, left, height, width) of its square,
    `normalised`, (C, size, size) float32.
    """

    def __init__(self, stage: Stage, image: np.ndarray, mask: np.ndarray | None = None) -> None:
        square, self.part = prepare_new(image, stage.preprocessing, stage.overlay, mask)
        self.box = stage.preprocessing.box(image[self.part].shape[:2])
        self.normalised = _normalise(square, stage)


def _normalise(square: np.ndarray, stage: Stage) -> np.ndarray:
    """Convert (size, size, 3 or 4) uint8 to the (C, size, size) float32 that a network takes."""
    if stage.channels == 1:
        square = cv2.transform(square.astype(np.float32), np.array([[0.299, 0.587, 0.114]], np.float32))[..., None]
    # A mask in the fourth channel becomes -1 and 1.
    mean, deviation = (np.array([*values, 0.5][: stage.channels], np.float32) for values in (stage.mean, stage.std))
    normalised = np.empty((stage.channels, *square.shape[:2]), np.float32)
    for number, (scale, shift) in enumerate(zip(1 / (255 * deviation), mean / deviation, strict=True)):
        np.multiply(square[..., number], scale, out=normalised[number])
        normalised[number] -= shift
    return normalised
