"""The size of a lesion in millimetres, where the size of a pixel is known."""

import math

import cv2
import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

_CORNERS = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])  # of a pixel, from its centre


def measure_lesion(mask: np.ndarray, mm_per_pixel: tuple[float, float]) -> tuple[float, float]:
    """Measure the largest lesion of a mask as a diagnosis does, but however small it is: a diagnosis leaves out specks.

    Args:
        mask: (H, W) bool or uint8 in {0, 1}.
        mm_per_pixel: Height and width of a pixel.

    Returns:
        Area in mm²; long axis in mm: the longest distance between two points of the outline, including the corners of
        pixels. Both are 0 for an empty mask.
    """
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = boxes[1:, cv2.CC_STAT_AREA]  # the first part is the background
    if not len(areas):
        return 0.0, 0.0
    largest = (parts == 1 + areas.argmax()).astype(np.uint8)
    outline, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    centres = np.concatenate(outline)[:, 0, ::-1]  # rows and columns
    points = (centres[:, None] + _CORNERS).reshape(-1, 2) * mm_per_pixel
    long_axis = pdist(points[ConvexHull(points).vertices]).max()
    return float(areas.max()) * math.prod(mm_per_pixel), float(long_axis)
