"""The picture in layers that the browser lays over each other, so that the heat's strength needs no server."""

import base64

import cv2
import numpy as np

from bus_lightning.data.resizing import resize
from bus_lightning.diagnosis.drawing import draw_overlay
from bus_lightning.diagnosis.page.looking import Shown

_HEAT_SIDE = 320  # of the heat's layer: it is smooth, and the browser enlarges it smoothly
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92]
_THUMBNAIL = 160


def image_layer(shown: Shown) -> str:
    """Encode the bare picture as a data URI."""
    return as_jpeg(shown.image)


def outline_layer(shown: Shown) -> str:
    """Encode the outline alone, transparent elsewhere, as a data URI."""
    return _transparent(shown.diagnosis.mask, None)


def heat_layer(shown: Shown) -> str | None:
    """Encode the heat at full strength, transparent where there is none; None without a heat map.

    Its opacity in the browser is the strength that `draw_overlay` takes.
    """
    heat = shown.diagnosis.heat_map
    if heat is None or not heat.any():
        return None
    scale = min(1.0, _HEAT_SIDE / max(heat.shape))
    small = resize(heat, tuple(max(1, round(side * scale)) for side in heat.shape))
    return _transparent(np.zeros(small.shape, bool), small)


def thumbnail(image: np.ndarray) -> str:
    """Encode a small square from the middle of an image as a data URI."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    return as_jpeg(resize(square, (_THUMBNAIL, _THUMBNAIL)))


def as_jpeg(image: np.ndarray) -> str:
    """Encode an (H, W, 3) uint8 RGB image as a data URI."""
    return _uri("jpeg", cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _QUALITY)[1])


def _transparent(mask: np.ndarray, heat: np.ndarray | None) -> str:
    """Separate what `draw_overlay` draws from what it draws on: on black and on white tells colour and opacity."""
    black, white = (draw_overlay(np.full((*mask.shape, 3), level, np.uint8), mask, heat, 1.0) for level in (0, 255))
    opacity = 255 - (white.astype(np.int16) - black).max(axis=2).clip(0, 255)
    colors = black.astype(np.float32) * 255 / np.maximum(opacity, 1)[..., None]
    drawn = np.dstack([colors.clip(0, 255)[..., ::-1], opacity]).astype(np.uint8)
    return _uri("png", cv2.imencode(".png", drawn)[1])


def _uri(kind: str, encoded: np.ndarray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
