"""Find text, calipers and frames that a scanner has burned into an image.

Speckle and reflections are wide along the beam's lines, because the resolution across the beam is low; a drawn stroke
is not. A pixel is a stroke if it is much brighter than both pixels three places to its left and right. The limits were
chosen on 60 images of BUSI, BUS-BRA and BrEaST that were looked at, and tested on 60 others: 58 are right, one image
with a long line is missed, and one without any mark is found (`tests/data/burned_in.csv` lists them).
"""

import cv2
import numpy as np

from bus_lightning.data.channels import brightest_channel

ERROR = "wrong for 2 of 60 images that were looked at: one image with marks is missed, one without marks is counted"
_DISTANCE = 3  # pixels
_CONTRAST, _BRIGHT = 50, 120  # grey levels
_FEWEST = 8  # pixels of strokes; a logo that is cut off has so few


def has_burned_in_marks(image: np.ndarray) -> bool:
    """Return whether an image, (H, W, 3) uint8 RGB, has text, calipers or frames burned in."""
    return has_marks_in(brightest_channel(image))


def has_marks_in(levels: np.ndarray) -> bool:
    """Return whether marks are burned into an image, of which the `brightest_channel` is given: marks can be yellow."""
    if levels.shape[1] <= 2 * _DISTANCE:
        return False
    inner = levels[:, _DISTANCE:-_DISTANCE]
    sides = np.maximum(levels[:, : -2 * _DISTANCE], levels[:, 2 * _DISTANCE :])
    return int(np.count_nonzero((cv2.subtract(inner, sides) > _CONTRAST) & (inner > _BRIGHT))) >= _FEWEST
