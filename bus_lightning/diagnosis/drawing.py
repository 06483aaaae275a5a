"""Draw an answer into its image: the outline of the lesion, and the heat map."""

import cv2
import numpy as np

OUTLINE = (90, 200, 250)  # sky blue, which neither the image nor the heat has
STRENGTH = 0.5  # opacity of the strongest heat
_ROWS = 128  # blended at once
_SIDE_PER_PIXEL = 220  # of the image's shorter side, for a pixel of the outline's thickness


def draw_overlay(
    image: np.ndarray, mask: np.ndarray, heat_map: np.ndarray | None = None, strength: float = STRENGTH
) -> np.ndarray:
    """Draw the outline of the lesion, and lay the heat map over the image, the stronger the more opaque.

    Args:
        image: (H, W, 3) uint8 RGB, which stays as it is.
        mask: (H, W) bool, the lesion.
        heat_map: (H, W) float32 in [0, 1]; None leaves it away.
        strength: Opacity of the strongest heat, in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    drawn = image.copy() if heat_map is None or strength <= 0 else _warm(image, heat_map, strength)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(min(mask.shape) / _SIDE_PER_PIXEL))
    # A dark rim lets the line stand out from bright tissue and from the heat.
    cv2.drawContours(drawn, outlines, -1, (0, 0, 0), thickness + 2, cv2.LINE_AA)
    cv2.drawContours(drawn, outlines, -1, OUTLINE, thickness, cv2.LINE_AA)
    return drawn


def _warm(image: np.ndarray, heat_map: np.ndarray, strength: float) -> np.ndarray:
    """Blend image and heat, a few rows at a time: as floats a whole picture takes much memory."""
    warm = np.empty_like(image)
    for top in range(0, len(image), _ROWS):
        rows = slice(top, top + _ROWS)
        heat = np.clip(heat_map[rows], 0, 1)
        colors = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        opacity = (heat * np.float32(strength))[..., None]
        warm[rows] = image[rows] + (colors - image[rows].astype(np.float32)) * opacity + np.float32(0.5)
    return warm
