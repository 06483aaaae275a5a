"""Decide by rules which pixels of a mask file are lesion; refuse a mask if that is unclear.

A plain mask has two levels, 0 and a bright one. Others are read by these rules, and the audit lists them with the rule:

* levels that cover solid areas are labels, and every label is lesion (0, 1, 2; or 0, 127, 255);
* other levels between the two are soft edges (antialiasing, JPEG), cut at half of the brightest level; if there are
  only a few levels, a piece that touches nothing brighter is not an edge but lesion;
* scattered pixels of very low levels are noise, and the mask is empty;
* a mask that is bright along its border and on more than half of the image is inverted;
* colours count by their brightest channel; the alpha channel counts only if the colours are all the same.
"""

from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.channels import brightest_channel
from bus_lightning.data.levels import DEEP_COLORS, is_deep, read_levels

_FAINT, _FAINT_SHARE = 31, 0.02  # up to this level, or this share of 16 bits, a level is a label or noise
_FEW_PIXELS = 100  # noise has more pixels, or isolated ones
_FEW_LEVELS = 8  # labels have at most so many levels; more come from soft edges
_SOLID, _SCATTERED = 0.4, 0.1  # share of a level's pixels among equals: a spot of 29 pixels has 0.45, noise almost none
_EDGE = (0.1, 0.9)  # levels outside this range are JPEG ringing around the two levels of a mask
_SPECK = 3  # pixels of a piece that may come from scaling a single pixel down
_SOFT_SHARE = 0.1  # share of the image between the two levels: no edge is so wide
_BORDER_BRIGHT, _BORDER_UNCLEAR = 0.9, 0.6  # of the border's pixels: BUSI, BUS-BRA and BrEaST have 0.5 at most
_MOST_SCALED = 8  # at a larger factor a mask has too few pixels for an outline or for comparing proportions
_CURE = "Fix the mask, or leave the image out with data.exclude=FILE.csv."


class MaskValueError(UserError):
    """It is unclear which pixels of a mask are lesion."""


@dataclass(frozen=True)
class Mask:
    """A mask file."""

    lesion: np.ndarray  # (H, W) uint8 in {0, 1}
    rule: str = ""  # by which it was read; empty for a plain mask of two levels


def decode_mask(path: Path) -> Mask:
    """Read a mask file at its own size.

    Raises:
        MaskValueError: If it is unclear which pixels are lesion.
        OSError, SyntaxError, ValueError, Image.DecompressionBombError: If the file cannot be decoded.
    """
    with open_regular(path) as stream, Image.open(stream) as image:
        if image.format == "TIFF" and (pages := getattr(image, "n_frames", 1)) > 1:
            raise MaskValueError(f"{path} has {pages} pages: save the mask as a file with one page. {_CURE}")
        deep = _deep_levels(image, stream, path)
        if image.format != "TIFF":  # loading turns a TIFF upright
            ImageOps.exif_transpose(image, in_place=True)
        levels, source = _levels(image, path) if deep is None else (deep, "")
    return _decide(levels, source, path)


def mask_of_plain(pixels: np.ndarray, path: Path) -> Mask:
    """Turn the pixels of `decode_plain_png` into a mask, as `decode_mask` does with their file.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        path: Their file.

    Raises:
        MaskValueError: If it is unclear which pixels are lesion.
        OSError, SyntaxError, ValueError, Image.DecompressionBombError: As `decode_mask`, of colours that are all
            equally bright.
    """
    if pixels.ndim == 2:
        return _decide(pixels, "", path)
    levels = brightest_channel(pixels)
    are_equal_colors = 0 < levels.min() == levels.max()  # their hues count
    return decode_mask(path) if are_equal_colors else _decide(levels, "", path)


def _decide(levels: np.ndarray, source: str, path: Path) -> Mask:
    """Decide which pixels are lesion from one level per pixel, (H, W) integers, and the rule that gave them."""
    low, top = int(levels.min()), int(levels.max())
    if low == top == 0:
        return Mask(np.zeros(levels.shape, np.uint8), source)
    if low == top:
        raise MaskValueError(
            f"{path} has the value {top} everywhere: it may be an inverted empty mask or a lesion everywhere. {_CURE}"
        )
    levels = levels - low
    lesion, rule = _lesion(levels, 65535 if top > 255 else 255, path)
    bright = _border(lesion).mean()
    if bright >= _BORDER_UNCLEAR:
        if bright < _BORDER_BRIGHT or lesion.mean() <= 0.5:  # a drawn frame, or an inverted large lesion
            raise MaskValueError(
                f"{path} has a border that is {bright:.0%} bright: it may be inverted, or have a frame. {_CURE}"
            )
        lesion, rule = ~lesion, f"{rule}{', ' if rule else ''}inverted"
    return Mask(lesion.astype(np.uint8), ", ".join(part for part in (source, rule) if part))


def _deep_levels(image: Image.Image, stream: BufferedReader, path: Path) -> np.ndarray | None:
    """Return one level per pixel for colours of 16 bits, of which Pillow keeps only the upper 8; None for others."""
    if image.mode not in DEEP_COLORS or not is_deep(image, stream):
        return None
    try:
        levels = read_levels(image, stream).values.max(axis=2).astype(np.int64)
    except UserError as error:
        raise MaskValueError(f"{path} cannot be read: {error}") from error
    return levels if np.ptp(levels) else None


def _levels(image: Image.Image, path: Path) -> tuple[np.ndarray, str]:
    """Return one level per pixel, (H, W) int64, and the rule if it does not come from the brightest channel."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits, which Pillow clips at 255
        values = np.nan_to_num(np.array(image, np.float64))
        if 0 < values.max() <= 1 and (values % 1).any():
            values = values * 255  # a probability
        return np.rint(values).astype(np.int64), ""
    if image.mode in ("1", "L") and not image.has_transparency_data:  # a third of the time that colours take
        return np.array(image.convert("L"), np.int64), ""
    colours = np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    levels = colours[..., :3].max(axis=2).astype(np.int64)
    if np.ptp(levels):
        return levels, ""
    codes = colours[..., :3].astype(np.int64) @ (65536, 256, 1)
    if np.ptp(codes):  # colours of the same brightness, one of which is the background's
        kinds, numbers = np.unique(codes, return_inverse=True)
        numbers = numbers.reshape(codes.shape)
        edge = np.bincount(_border(numbers), minlength=len(kinds))
        if edge.max() < _BORDER_BRIGHT * edge.sum() or len(kinds) > _FEW_LEVELS:
            raise MaskValueError(
                f"{path} has {len(kinds)} equally bright colours, and it is unclear which is the background. {_CURE}"
            )
        return np.where(numbers == edge.argmax(), 0, 255), "every colour except the border's taken as lesion"
    if colours.shape[2] == 4 and np.ptp(colours[..., 3]):
        return colours[..., 3].astype(np.int64), "shape taken from the alpha channel"
    if image.mode == "P" and np.ptp(numbers := np.array(image, np.int64)):
        return numbers, "shape taken from the numbers of the palette's colours, which are all the same"
    return levels, ""


def _lesion(levels: np.ndarray, full: int, path: Path) -> tuple[np.ndarray, str]:
    """Decide which pixels are lesion, (H, W) bool, from levels that start at 0; also return the rule."""
    top = int(levels.max())
    faint = top <= max(_FAINT, _FAINT_SHARE * full)
    if not faint and np.count_nonzero(bright := levels == top) + np.count_nonzero(levels == 0) == levels.size:
        return bright, ""  # a plain mask: nearly every file
    levels = levels.astype(np.int64, copy=False)
    if top > 65535:
        values, counts = np.unique(levels, return_counts=True)
    else:  # ten times as fast as sorting
        counts = np.bincount(levels.ravel())
        values, counts = np.flatnonzero(counts), counts[counts > 0]
    inner = _among_equals(levels, 4)
    if faint:
        solid = float(inner[levels > 0].mean())
        if solid >= _SOLID:
            return levels > 0, "" if len(values) == 2 else f"labels {_listed(values[1:])} taken together as lesion"
        lone = float(_among_equals(levels, 2)[levels > 0].mean()) < 2 * _SCATTERED
        areas = np.bincount(np.searchsorted(values, levels.ravel()), inner.ravel()) / counts
        if solid < _SCATTERED and (lone or (levels > 0).sum() > _FEW_PIXELS) and areas[1:].max() < _SOLID:
            return np.zeros(levels.shape, bool), f"scattered levels up to {top} taken as noise"
        raise MaskValueError(f"{path} has no levels above {top}: they may be noise or a small lesion. {_CURE}")
    between = values[1:-1]
    if len(values) > _FEW_LEVELS:
        between = between[(between > _EDGE[0] * top) & (between < _EDGE[1] * top)]
    solid_in = {int(value): float(inner[levels == value].mean()) for value in between} if len(between) else {}
    number = dict(zip(values.tolist(), counts.tolist(), strict=True))
    in_labels = sum(number[value] for value, share in solid_in.items() if share >= _SOLID)
    labels = [value for value, share in solid_in.items() if share >= _SOLID and number[value] > in_labels / 50]
    if labels and len(labels) <= _FEW_LEVELS:
        return levels > min(labels) / 2, f"labels {_listed([*labels, top])} taken together as lesion"
    soft = (levels > _EDGE[0] * top) & (levels < _EDGE[1] * top)
    if soft.mean() > _SOFT_SHARE and soft.sum() > (levels >= _EDGE[1] * top).sum():
        raise MaskValueError(
            f"{path} has {len(values)} grey levels all over, like an image: it is unclear which is lesion. {_CURE}"
        )
    lesion, rule = levels > top / 2, f"soft edges of {len(values)} levels cut at half"
    if len(values) <= _FEW_LEVELS and (lone_pieces := _lone_pieces(levels > _EDGE[0] * top, lesion)).any():
        return lesion | lone_pieces, f"{rule}, and pieces that touch nothing brighter taken as lesion"
    return lesion, rule


def _lone_pieces(area: np.ndarray, brighter: np.ndarray) -> np.ndarray:
    """Find the pieces of an area, of more pixels than a speck has, in which nothing is brighter, (H, W) bool."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8), connectivity=8)
    lone = stats[:, cv2.CC_STAT_AREA] > _SPECK
    lone[np.unique(pieces[brighter])] = False
    lone[0] = False
    return np.asarray(lone[pieces])


def _among_equals(levels: np.ndarray, number: int) -> np.ndarray:
    """Mark the pixels that equal at least `number` of their four neighbours, (H, W) bool; the border is repeated."""
    padded = np.pad(levels, 1, mode="edge")
    centre = padded[1:-1, 1:-1]
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    equal = sum((side == centre).astype(np.uint8) for side in sides)
    return np.asarray(equal >= number)


def _border(array: np.ndarray) -> np.ndarray:
    """Return the pixels along the four sides."""
    return np.concatenate([array[0], array[-1], array[1:-1, 0], array[1:-1, -1]])


def _listed(values: "np.ndarray | list[int]") -> str:
    return ", ".join(str(int(value)) for value in values)


def have_same_proportions(shape: tuple[int, int], other: tuple[int, int]) -> bool:
    """Check whether one shape is the other scaled by a factor of at most 8, up to rounding to whole pixels."""
    (height, width), (other_height, other_width) = shape, other
    scaled = other_width * height / width, other_height * width / height
    close = abs(scaled[0] - other_height) < 1 and abs(scaled[1] - other_width) < 1
    return close and 1 / _MOST_SCALED <= other_height / height <= _MOST_SCALED


def resize_mask(lesion: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scale a mask: when it shrinks, a pixel is lesion if half of its area is; when it grows, if the nearest pixel is.

    Args:
        lesion: (h, w) uint8 in {0, 1}.
        shape: The new (H, W).

    Returns:
        (H, W) uint8 in {0, 1}.
    """
    size = shape[1], shape[0]
    if shape[0] < lesion.shape[0]:
        covered = cv2.resize(lesion.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return (covered >= 0.5).astype(np.uint8)
    return np.asarray(cv2.resize(lesion, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
