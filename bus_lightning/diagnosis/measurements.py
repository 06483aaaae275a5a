"""Measure an outlined lesion: area, box, the two axes and the direction of the long one."""

from dataclasses import dataclass

import cv2
import numpy as np

_LEAST_SHARE = 0.0005  # of the image's pixels; anything smaller is a speck, not a lesion


@dataclass(frozen=True)
class Measurements:
    """Measurements of the largest lesion of an image; without a lesion, 0 or None.

    The long axis is the longest distance between two points of the outline, as clinicians measure it; the short axis
    is the lesion's extent across it. With a known size of the pixels, both and the direction are found in millimetres,
    because pixels need not be square.
    """

    lesions: int = 0  # without specks of less than 0.05% of the image
    area_px: int = 0
    area_mm2: float | None = None  # None, like all millimetres, if the size of a pixel is not known
    box: tuple[int, int, int, int] | None = None  # top, left, height, width in pixels
    long_axis_px: float | None = None
    short_axis_px: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    orientation_deg: float | None = None  # of the long axis in (-90, 90]: 0 is level, positive rises to the right
    touches_border: bool = False  # whether any lesion reaches the image's border


def measure(mask: np.ndarray, spacing_mm: tuple[float, float] | None = None) -> Measurements:
    """Count the lesions of a mask, (H, W) bool, and measure the largest; `spacing_mm` is a pixel's height and width."""
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    least = max(1, round(_LEAST_SHARE * mask.size))
    lesions = [number for number in range(1, count) if boxes[number, cv2.CC_STAT_AREA] >= least]
    if not lesions:
        return Measurements()
    largest = max(lesions, key=lambda number: boxes[number, cv2.CC_STAT_AREA])
    left, top, width, height, area = boxes[largest].tolist()
    corners = _corners(parts[top : top + height, left : left + width] == largest)
    long_px, short_px, direction = _axes(corners)
    long_mm = short_mm = area_mm2 = None
    if spacing_mm is not None:
        long_mm, short_mm, direction = _axes(corners * np.array(spacing_mm[::-1]))
        area_mm2 = area * spacing_mm[0] * spacing_mm[1]
    starts, sizes = boxes[lesions, :2], boxes[lesions, 2:4]
    return Measurements(
        lesions=len(lesions),
        area_px=area,
        area_mm2=area_mm2,
        box=(top, left, height, width),
        long_axis_px=long_px,
        short_axis_px=short_px,
        long_axis_mm=long_mm,
        short_axis_mm=short_mm,
        orientation_deg=direction,
        touches_border=bool((starts == 0).any() or (starts + sizes == mask.shape[::-1]).any()),
    )


def _corners(lesion: np.ndarray) -> np.ndarray:
    """Find the convex hull of a lesion's pixels, including their corners: (N, 2) float64, x and y."""
    outlines, _ = cv2.findContours(lesion.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(outlines)[:, 0].astype(np.float32)
    corners = np.concatenate([points + np.array([x, y]) for x in (-0.5, 0.5) for y in (-0.5, 0.5)]).astype(np.float32)
    return cv2.convexHull(corners)[:, 0].astype(np.float64)


def _axes(corners: np.ndarray) -> tuple[float, float, float]:
    """Find the longest distance within a convex outline, the extent across it, and its direction in degrees."""
    vectors = corners[:, None] - corners[None]
    first, last = np.unravel_index(np.argmax((vectors**2).sum(axis=2)), vectors.shape[:2])
    x, y = vectors[first, last]
    length = float(np.hypot(x, y))
    across = corners @ np.array([-y, x]) / length
    direction = float(np.degrees(np.arctan2(-y, x)))  # rows go down
    return length, float(np.ptp(across)), 90 - (90 - direction) % 180
