"""The pictures of the audit's page: histograms, and small pictures of images with the outlines of their masks."""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import pick_evenly, read_image, read_mask
from bus_lightning.data.masks import resize_mask

_SHEET = 24  # images of a contact sheet
_LONGER_SIDE = 320  # pixels of a small picture
_QUALITY = 82  # of a JPEG
_OUTLINE = (230, 159, 0)  # orange of Okabe and Ito
_BAR = "#0072B2"
_BINS = 30


def draw_histogram(values: Sequence[float], label: str, name: str) -> str:
    """Draw a histogram of a number of images, as the data URI of an SVG.

    Args:
        values: A value per image.
        label: Of the horizontal axis, with the unit.
        name: Of the figure; figures with other names have other ids in their SVG.
    """
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path", "text.parse_math": False, "font.size": 9}):
        figure = Figure(figsize=(4.2, 2.5), layout="constrained")
        axes = figure.subplots()
        axes.hist(np.asarray(values, np.float64), bins=_BINS, color=_BAR)
        axes.set_xlabel(label)
        axes.set_ylabel("images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        svg = BytesIO()
        figure.savefig(svg, format="svg", facecolor="white", metadata={"Date": None})
    return _data_uri(svg.getvalue(), "image/svg+xml")


def draw_small_picture(root: Path, image: str, masks: tuple[str, ...] = ()) -> tuple[str, int, int] | None:
    """Draw a small picture of an image with the outlines of its masks.

    Args:
        root: The data folder.
        image: The image below it.
        masks: Its masks below it; one that cannot be read leaves the image without outlines.

    Returns:
        The data URI of a JPEG, its width and its height; None if the image cannot be read.
    """
    try:
        pixels = read_image(root / image)
    except UserError:
        return None
    scale = min(1, _LONGER_SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    try:
        lesion = read_mask(root, masks, pixels.shape[:2])
    except UserError:
        lesion = np.zeros(pixels.shape[:2], np.uint8)
    outlines, _ = cv2.findContours(resize_mask(lesion, (height, width)), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(small, outlines, -1, _OUTLINE, 2, cv2.LINE_AA)
    _, jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return _data_uri(jpeg.tobytes(), "image/jpeg"), width, height


def choose_images(classes: Sequence[str], number: int = _SHEET) -> list[int]:
    """Choose positions evenly over the classes, and evenly within each, in the order of the classes' names.

    A class with fewer images than its share leaves the rest to the others.
    """
    members = {name: [i for i, of in enumerate(classes) if of == name] for name in sorted(set(classes))}
    chosen: list[int] = []
    shares: dict[str, int] = {}
    for left, name in enumerate(sorted(members, key=lambda name: len(members[name]))):
        shares[name] = min(len(members[name]), (number - sum(shares.values())) // (len(members) - left))
    for name, positions in members.items():
        chosen += [positions[k] for k in pick_evenly(len(positions), shares[name])] if shares[name] else []
    return chosen


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
