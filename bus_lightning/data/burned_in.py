"""Find text, calipers and frames that a scanner has burned into an image.

Speckle and reflections are wide along the beam's lines, because the resolution across the beam is low; a drawn stroke
is not. A pixel is a stroke if it is much brighter than both pixels three places to its left and right. The limits were
chosen on 60 images of BUSI, BUS-BRA and BrEaST that were looked at, and tested on 60 others: 58 are right, one image
with a long line is missed, and one without any mark is found (`tests/data/burned_in.csv` lists them).
"""

import numpy as np

_DISTANCE = 3  # pixels
_CONTRAST, _BRIGHT = 50, 120  # grey levels
_FEWEST = 8  # pixels of strokes; a logo that is cut off has so few


def has_burned_in_marks(image: np.ndarray) -> bool:
    """Return whether an image, (H, W, 3) uint8 RGB, has text, calipers or frames burned in."""
    levels = image.max(axis=2).astype(np.int16)  # marks can be yellow
    inner = levels[:, _DISTANCE:-_DISTANCE]
    sides = np.maximum(levels[:, : -2 * _DISTANCE], levels[:, 2 * _DISTANCE :])
    return int(((inner - sides > _CONTRAST) & (inner > _BRIGHT)).sum()) >= _FEWEST
