"""The size of a lesion and the distance between two outlines in millimetres, where the size of a pixel is known."""

import math

import cv2
import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from torch import Tensor

from bus_lightning.metrics.surface import compare_outlines

TOLERANCE = 1.0  # mm within which two outlines agree
_CORNERS = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])  # of a pixel, from its centre


def millimetre_scores(predicted: Tensor, truth: Tensor, mm_per_pixel: tuple[float, float]) -> dict[str, float | None]:
    """Measure a ground truth and a prediction, and the distance between their outlines.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool or uint8 in {0, 1}.
        mm_per_pixel: Height and width of a pixel of these masks.

    Returns:
        `area_mm2` and `long_axis_mm` of the ground truth's largest lesion, 0 without one, and those of the prediction
        with `predicted_` in front; `hd95_mm`: as `hd95`, but a missed lesion costs the image's diagonal in millimetres;
        `surface_dice_1mm`: as `surface_dice`, with a tolerance of 1 mm. The last two are None without a lesion.
    """
    diagonal = math.hypot(*(size * count for size, count in zip(mm_per_pixel, truth.shape, strict=True)))
    distance, near = compare_outlines(predicted, truth, TOLERANCE, mm_per_pixel)
    area, long_axis = measure_lesion(truth, mm_per_pixel)
    predicted_area, predicted_long_axis = measure_lesion(predicted, mm_per_pixel)
    return {
        "area_mm2": area,
        "long_axis_mm": long_axis,
        "predicted_area_mm2": predicted_area,
        "predicted_long_axis_mm": predicted_long_axis,
        "hd95_mm": diagonal if distance == math.inf else distance,
        "surface_dice_1mm": near,
    }


def measure_lesion(mask: Tensor, mm_per_pixel: tuple[float, float]) -> tuple[float, float]:
    """Measure the largest lesion of a mask, as a diagnosis does.

    Args:
        mask: (H, W) bool or uint8 in {0, 1}.
        mm_per_pixel: Height and width of a pixel.

    Returns:
        Area in mm²; long axis in mm: the longest distance between two points of the outline, including the corners of
        pixels. Both are 0 for an empty mask.
    """
    pixels = mask.cpu().numpy().astype(np.uint8)
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    areas = boxes[1:, cv2.CC_STAT_AREA]  # the first part is the background
    if not len(areas):
        return 0.0, 0.0
    largest = (parts == 1 + areas.argmax()).astype(np.uint8)
    outline, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    centres = np.concatenate(outline)[:, 0, ::-1]  # rows and columns
    points = (centres[:, None] + _CORNERS).reshape(-1, 2) * mm_per_pixel
    long_axis = pdist(points[ConvexHull(points).vertices]).max()
    return float(areas.max()) * math.prod(mm_per_pixel), float(long_axis)
