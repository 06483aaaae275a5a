"""Draw the polygons and run lengths of COCO as masks, after checking that they fit their image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.core.workarounds import decode_run_lengths

_LONGEST = 10_000_000  # pixels along all outlines of an image
_OFFSET, _BITS, _MORE, _SIGN = 48, 5, 32, 16  # of a character of compressed run lengths


def import_codec() -> Any:
    """Import pycocotools.

    Raises:
        UserError: If it is missing.
    """
    try:
        from pycocotools import mask
    except ModuleNotFoundError:
        raise UserError(
            "data=coco needs pycocotools, which is not installed: pip install 'bus_lightning[coco]'"
        ) from None
    return mask


def has_outline(annotation: Mapping[str, Any]) -> bool:
    """Check whether an annotation has an outline; otherwise it is a box or a class."""
    return bool(annotation.get("segmentation"))


def draw_outlines(annotations: Sequence[Mapping[str, Any]], size: tuple[int, int], where: str) -> np.ndarray:
    """Unite the outlines of an image.

    Args:
        annotations: Those of the image that have an outline.
        size: (height, width) of the image.
        where: The JSON and image, for messages.

    Returns:
        (H, W) uint8 in {0, 1}.

    Raises:
        UserError: If one cannot be decoded, or does not fit the image.
    """
    codec = import_codec()
    union = np.zeros(size, np.uint8)
    for item in annotations:
        label = f"{where}, annotation {item['id']}"
        outline = item["segmentation"]
        if isinstance(outline, dict):
            code: Any = [{"size": list(size), "counts": _run_lengths(outline, size, label)}]
        else:
            code = _polygons(outline, size, label)
        union |= decode_run_lengths(codec.merge(codec.frPyObjects(code, *size)))
    return union


def _polygons(outline: Any, size: tuple[int, int], label: str) -> list[list[float]]:
    """Check polygons: pairs of numbers, three or more, inside the image or near it."""
    height, width = size
    try:
        polygons = [np.asarray(numbers, float) for numbers in outline]
    except (TypeError, ValueError):
        polygons = []
    if not polygons or any(polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2 for polygon in polygons):
        raise UserError(f"{label} has no polygon that can be drawn: it needs a list of x, y of three or more points.")
    length = 0.0
    for polygon in polygons:
        points = polygon.reshape(-1, 2)
        if not ((points >= (-width, -height)) & (points <= (2 * width, 2 * height))).all():  # also false for NaN
            raise UserError(f"{label} has points far outside of its image, {width} x {height}: correct it.")
        length += float(np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum())
    if length > _LONGEST:
        raise UserError(f"{label} has an outline of {length:.0f} pixels: simplify it.")
    return [polygon.tolist() for polygon in polygons]


def _run_lengths(outline: Mapping[str, Any], size: tuple[int, int], label: str) -> list[int]:
    """Check run lengths: whole numbers that add up to the number of pixels."""
    height, width = size
    if outline.get("size") != [height, width]:
        raise UserError(f"{label} has another size than its image, {width} x {height}: correct it.")
    counts = outline.get("counts")
    if isinstance(counts, str):
        counts = _unpack(counts, height * width, label)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise UserError(f"{label} has no run lengths, a list of whole numbers or a compressed text: export it again.")
    if sum(counts) != height * width:
        raise UserError(f"{label} has run lengths of {sum(counts)} pixels for {height * width}: export it again.")
    return counts


def _unpack(text: str, pixels: int, label: str) -> list[int]:
    """Read compressed run lengths: five bits in a character, and from the fourth on the difference to the last but one.

    Source: `rleFrString` in `maskApi.c` of COCO's API.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - _OFFSET
        if not 0 <= bits < 2 * _MORE or shift > 8 * _BITS:
            raise UserError(f"{label} has compressed run lengths that cannot be read: export it again.")
        value |= (bits & (_MORE - 1)) << shift
        shift += _BITS
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        if not 0 <= counts[-1] <= pixels:
            break
        value = shift = 0
    return counts
