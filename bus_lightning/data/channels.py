"""Reduce the three channels of an image to one, several times as fast as NumPy reduces an axis of three."""

import cv2
import numpy as np


def brightest_channel(image: np.ndarray) -> np.ndarray:
    """Return the largest value of each pixel, (H, W) uint8, of an image (H, W, 3) uint8."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def brightest_and_spread(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the `brightest_channel`, and the difference between the largest and the smallest value of each pixel.

    Returns:
        Two arrays, (H, W) uint8; the difference is 0 where the image is grey.
    """
    red, green, blue = cv2.split(image)
    brightest = np.asarray(cv2.max(cv2.max(red, green), blue))
    return brightest, np.asarray(cv2.subtract(brightest, cv2.min(cv2.min(red, green), blue)))
