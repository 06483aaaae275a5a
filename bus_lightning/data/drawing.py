"""Draw the outline of a lesion and a heat map into an image, without PyTorch."""

import cv2
import numpy as np

OUTLINE = (90, 200, 250)  # sky blue, a colour that neither the image nor the heat has
STRENGTH = 0.5  # opacity of the strongest heat
_ROWS = 128  # blended at a time: a whole image of floats takes much memory
_SIDE_PER_PIXEL = 220  # length of the image's shorter side for each pixel of the outline's thickness


def draw_overlay(
    image: np.ndarray, mask: np.ndarray | None, heat_map: np.ndarray | None = None, strength: float = STRENGTH
) -> np.ndarray:
    """Return a copy of an image, (H, W, 3) uint8 RGB, with the lesion outlined and the heat map over it, if given.

    The mask is (H, W) bool, the heat map (H, W) float32 in [0, 1]; `strength` in [0, 1] is the opacity of its maximum.
    """
    drawn = image.copy() if heat_map is None or strength <= 0 else lay_heat_over(image, heat_map, strength)
    if mask is None:
        return drawn
    thickness = max(1, round(min(mask.shape) / _SIDE_PER_PIXEL))
    # A dark rim makes the line stand out from bright tissue and from the heat.
    draw_outline(drawn, mask, thickness + 2, (0, 0, 0))
    return draw_outline(drawn, mask, thickness)


def draw_outline(
    image: np.ndarray, mask: np.ndarray, thickness: int = 1, color: tuple[int, int, int] = OUTLINE
) -> np.ndarray:
    """Draw the outline of a mask, (H, W) bool, into an (H, W, 3) uint8 RGB image, and return the image."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image, outlines, -1, color, thickness, cv2.LINE_AA)


def lay_heat_over(image: np.ndarray, heat: np.ndarray, strength: float) -> np.ndarray:
    """Blend a heat map, (H, W) float32 in [0, 1], with an (H, W, 3) uint8 RGB image: the hotter, the more opaque."""
    warm = np.empty_like(image)
    for top in range(0, len(image), _ROWS):
        rows = slice(top, top + _ROWS)
        part = np.clip(heat[rows], 0, 1)
        colors = cv2.applyColorMap((part * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        opacity = (part * np.float32(strength))[..., None]
        warm[rows] = image[rows] + (colors - image[rows].astype(np.float32)) * opacity + np.float32(0.5)
    return warm
