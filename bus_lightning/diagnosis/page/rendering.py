"""Render the HTML of the page: its parts, and the picture in layers.

The browser lays the layers over each other, so a change of the heat map's strength needs no request.
"""

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image, ImageOps

from bus_lightning.data.drawing import draw_overlay
from bus_lightning.data.resizing import resize
from bus_lightning.diagnosis.page.sentences import SENTENCES
from bus_lightning.diagnosis.page.view import View
from bus_lightning.diagnosis.page.wording import Words

_TEMPLATE = Path(__file__).with_name("parts.html.j2").read_text(encoding="utf-8")
_ENVIRONMENT = Environment(autoescape=True, undefined=StrictUndefined)
_PARTS: Any = _ENVIRONMENT.from_string(_TEMPLATE, globals={"sentences": SENTENCES}).module
_HEAT_SIDE = 320  # of the heat's layer, which is smooth, so the browser can enlarge it
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92]
_THUMBNAIL = (160, 160)


def render(part: str, *values: Any) -> str:
    """Render a part of the page: a macro of `parts.html.j2`, with every value escaped."""
    return str(getattr(_PARTS, part)(*values))


def render_picture(view: View, words: Words) -> str:
    """Render the image, the heat map and the outline as layers."""
    height, width = view.image.shape[:2]
    layers = (_as_jpeg(view.image), heat_layer(view), outline_layer(view))
    return render("picture", width, height, *layers, words)


def outline_layer(view: View) -> str | None:
    """Encode the outline on a transparent ground as a data URI; None without an outline."""
    return None if view.diagnosis.mask is None else _transparent(view.diagnosis.mask, None)


def heat_layer(view: View) -> str | None:
    """Encode the heat map at full strength on a transparent ground as a data URI; None without heat.

    Its opacity in the browser is the `strength` of `draw_overlay`.
    """
    heat = view.diagnosis.heat_map
    if heat is None or not heat.any():
        return None
    scale = min(1.0, _HEAT_SIDE / max(heat.shape))
    small = resize(heat, tuple(max(1, round(side * scale)) for side in heat.shape))
    return _transparent(np.zeros(small.shape, bool), small)


def thumbnail(image: np.ndarray) -> str:
    """Encode a small square from the middle of an (H, W, 3) uint8 RGB image as a data URI."""
    return _as_jpeg(np.asarray(ImageOps.fit(Image.fromarray(image), _THUMBNAIL)))


def _as_jpeg(image: np.ndarray) -> str:
    return _data_uri("jpeg", cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _QUALITY)[1])


def _transparent(mask: np.ndarray, heat: np.ndarray | None) -> str:
    """Separate what `draw_overlay` draws from its ground: drawn on black and on white, it has colour and opacity."""
    black, white = (draw_overlay(np.full((*mask.shape, 3), level, np.uint8), mask, heat, 1.0) for level in (0, 255))
    opacity = 255 - (white.astype(np.int16) - black).max(axis=2).clip(0, 255)
    colors = black.astype(np.float32) * 255 / np.maximum(opacity, 1)[..., None]
    drawn = np.dstack([colors.clip(0, 255)[..., ::-1], opacity]).astype(np.uint8)
    return _data_uri("png", cv2.imencode(".png", drawn)[1])


def _data_uri(kind: str, encoded: np.ndarray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
