"""Describe an image by twenty simple statistics, for a baseline that a network must beat."""

import cv2
import numpy as np
from scipy.stats import kurtosis, skew

from bus_lightning.data.resizing import resize

_SIDE = 256  # pixels of the longer side, so that edges and textures of large and small files can be compared
_WINDOW = (9, 9)  # of the local contrast
_BINS = 64  # of the histogram
_PERCENTILES = (5, 25, 50, 75, 95)

STATISTICS = {
    "mean": "mean grey level",
    "deviation": "standard deviation of the grey levels",
    "skewness": "skewness of the grey levels",
    "kurtosis": "kurtosis of the grey levels",
    **{f"percentile_{percentile}": f"percentile {percentile} of the grey levels" for percentile in _PERCENTILES},
    "dark": "share of pixels below 5% of white",
    "bright": "share of pixels above 95% of white",
    "entropy": f"entropy of the histogram with {_BINS} bins, in bits",
    "gradient_mean": "mean magnitude of the gradient (Sobel)",
    "gradient_deviation": "standard deviation of the gradient's magnitude",
    "gradient_95": "percentile 95 of the gradient's magnitude",
    "fine_texture": "standard deviation of the Laplacian",
    "contrast_mean": "mean local contrast: standard deviation in windows of 9 x 9 pixels",
    "contrast_deviation": "standard deviation of the local contrast",
    "lower_half": "mean of the lower half minus that of the upper half",
    "middle_third": "mean of the middle third of the columns minus that of the others",
}
"""Name -> what it is; of the image in grey levels from 0 (black) to 1 (white), with a longer side of 256 pixels."""


def simple_statistics(image: np.ndarray) -> list[float]:
    """Compute the twenty statistics of `STATISTICS`, in their order.

    Args:
        image: (H, W, 3) uint8, RGB.

    Returns:
        20 finite numbers; skewness and kurtosis are 0 for an image of one colour, and the last one for an image whose
        columns cannot be divided.
    """
    factor = _SIDE / max(image.shape)
    shape = tuple(max(1, round(side * factor)) for side in image.shape[:2])
    grey = resize(image, shape).mean(axis=2) / 255
    flat = grey.ravel()
    moments = (0.0, 0.0) if np.ptp(flat) < 1e-9 else (float(skew(flat)), float(kurtosis(flat)))
    shares = np.histogram(flat, bins=_BINS, range=(0, 1))[0] / flat.size
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1))
    mean = cv2.blur(grey, _WINDOW)
    contrast = np.sqrt(np.maximum(cv2.blur(grey**2, _WINDOW) - mean**2, 0))
    height, width = grey.shape
    upper, lower = grey[: max(1, height // 2)], grey[height // 2 :]
    is_middle = np.abs(np.arange(width) + 0.5 - width / 2) <= width / 6
    middle, sides = (grey[:, own].mean() if own.any() else grey.mean() for own in (is_middle, ~is_middle))
    statistics = [
        flat.mean(), flat.std(), *moments, *np.percentile(flat, _PERCENTILES), (flat < 0.05).mean(),
        (flat > 0.95).mean(), -(shares[shares > 0] * np.log2(shares[shares > 0])).sum(), gradient.mean(),
        gradient.std(), np.percentile(gradient, 95), cv2.Laplacian(grey, cv2.CV_64F).std(), contrast.mean(),
        contrast.std(), lower.mean() - upper.mean(), middle - sides,
    ]  # fmt: skip
    return [float(value) for value in statistics]
