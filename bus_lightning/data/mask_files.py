"""Find masks among the images of a data folder, by their pixels and by the images they belong to."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from bus_lightning.data.channels import brightest_channel

# Measured shares of pixels. Masks of BUSI, BUS-BRA and BrEaST: 1.00 in two levels, 0.99 equal to their neighbours; all
# images of these sets: at most 0.85 and 0.56. The loose limits find masks saved as JPEG, next to their image.
_TWO_LEVELS, _LOOSELY_TWO = 0.97, 0.9
_FLAT, _LOOSELY_FLAT = 0.9, 0.6
_NEAR = 16  # grey levels that count as equal, after the darkest and brightest become 0 and 255
_SOLID = 0.3  # share of a shape's pixels whose four neighbours belong to it, at least
# Share of neighbours in the second level that are equal, at least: masks, also blurred or saved as JPEG, have 0.23 and
# more; lesions that were cut out of BUSI or BUS-BRA and put on black, as some data sets are, have 0.16 at most.
_UNTEXTURED = 0.2
_PIECES = 40  # connected pieces of a shape and its background, at most
_FEW = 6  # grey levels of a label mask, at most
_REST = 0.5  # share of the pixels outside the first level that are in the second: specks in a dark image are spread
_SAME, _SAME_LEVELS = 0.6, 8  # an overlay shares this share of pixels with its image, up to so many grey levels
_WORDS = frozenset(
    ["mask", "masks", "gt", "ground", "truth", "groundtruth", "seg", "segm", "segmentation", "segmented", "label",
     "labels", "lesion", "lesions", "tumor", "tumors", "tumour", "tumours", "roi", "annotation", "annotations",
     "annotated", "contour", "contours", "outline", "outlined", "overlay", "overlays", "binary", "other"]
)  # fmt: skip
_NEUTRAL = frozenset(["copy", "kopie", "image", "images", "img", "original", "bus"])


@dataclass(frozen=True)
class Likeness:
    """How much a picture resembles a mask.

    Attributes:
        kind: `plain`: two levels in flat areas, which no ultrasound image has; `loose`: nearly so; `blank`: one level;
            empty: none of these.
        shape: (H, W) of the picture.
    """

    kind: str
    shape: tuple[int, int]


def measure_likeness(image: np.ndarray) -> Likeness:
    """Measure how much a picture, (H, W, 3) uint8, resembles a mask."""
    level = brightest_channel(image)
    shape = level.shape[:2]
    low, top = int(level.min()), int(level.max())
    if low == top:
        return Likeness("blank", shape)
    flat = np.mean([_share(level[:, 1:] == level[:, :-1]), _share(level[1:] == level[:-1])]) if min(shape) > 1 else 0
    if flat < _LOOSELY_FLAT:  # nearly every image
        return Likeness("", shape)
    levels = np.count_nonzero(np.bincount(level.ravel()))
    if levels <= _FEW and flat >= _FLAT and _is_shape(level > low):
        return Likeness("plain", shape)
    level = ((level.astype(np.int64) - low) * 255) // (top - low)
    counts = np.bincount(level.ravel(), minlength=256)
    first = int(_window(counts).argmax())
    rest = counts.copy()
    rest[max(0, first - _NEAR) : first + _NEAR + 1] = 0
    second = int(_window(rest).argmax())
    left, in_second = int(rest.sum()), int(_window(rest)[second])
    two = (level.size - left + in_second) / level.size
    if two < _LOOSELY_TWO or in_second < _REST * left or not _is_shape(abs(level - second) < abs(level - first)):
        return Likeness("", shape)
    if _equal_within(level, abs(level - first) > _NEAR) < _UNTEXTURED:
        return Likeness("", shape)
    return Likeness("plain" if two >= _TWO_LEVELS and flat >= _FLAT else "loose", shape)


def find_mask_files(
    rows: Sequence[Any], likenesses: dict[str, Likeness], read: Callable[[str], np.ndarray]
) -> dict[str, str]:
    """Find the pictures of an index that are masks or overlays of others.

    Args:
        rows: Rows of the index, with `id`, `image` and `class_name`.
        likenesses: Id -> likeness, for the images that could be read.
        read: Decodes a file of the index to (H, W, 3) uint8.

    Returns:
        File -> description, a phrase that follows the file's name.
    """
    by_name: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for row in rows:
        if row.id in likenesses:
            by_name[_split_name(row.id)[1]].append(row)
    readable = [row for row in rows if row.id in likenesses]
    masks = {row.image: reason for row in readable if (reason := _reason(row, by_name, likenesses, read))}
    return masks | _find_blanks_among_masks(rows, likenesses, masks)


def _reason(
    row: Any,
    by_name: dict[tuple[str, ...], list[Any]],
    likenesses: dict[str, Likeness],
    read: Callable[[str], np.ndarray],
) -> str | None:
    """Describe a picture if it is a mask or an overlay."""
    own = likenesses[row.id]
    named, words = _split_name(row.id)
    # `x_mask (1)` is a copy of `x_mask`; `x (1)_mask` is the mask of `x (1)`.
    names = [words, words[:-1]] if named and words and words[-1].isdigit() else [words]
    others = [
        other
        for name in names
        for other in by_name.get(name, ())
        if other.id != row.id and likenesses[other.id] == Likeness("", own.shape)
    ]
    elsewhere = [other for other in others if other.class_name != row.class_name]
    same_folder = [other for other in others if other.class_name == row.class_name and named]
    image = (same_folder or elsewhere or [None])[0]
    if own.kind == "plain":
        return f"looks like a mask{f' of {image.image}' if image else ''}: few grey levels, in flat areas"
    if image and own.kind == "loose":
        return f"looks like a mask of {image.image}: nearly two grey levels"
    if image and own.kind == "blank":
        return f"looks like an empty mask of {image.image}: one grey level"
    if same_folder and _is_drawn_over(read(row.image), read(same_folder[0].image)):
        return f"looks like {same_folder[0].image} with something drawn into it"
    return None


def _find_blanks_among_masks(
    rows: Sequence[Any], likenesses: dict[str, Likeness], masks: dict[str, str]
) -> dict[str, str]:
    """Treat blank pictures in a folder of masks as empty masks."""
    pictures = Counter(row.class_name for row in rows if row.image not in masks)
    number = Counter(row.class_name for row in rows if row.image in masks)
    return {
        row.image: "looks like an empty mask: one grey level, in a folder of masks"
        for row in rows
        if row.id in likenesses and likenesses[row.id].kind == "blank" and row.image not in masks
        if 2 * number[row.class_name] > pictures[row.class_name]
    }


def _split_name(id_: str) -> tuple[bool, tuple[str, ...]]:
    """Split a file's name into words and numbers: whether it has words of mask names, and the other words."""
    stem = re.sub(r"([a-z])([A-Z])", r"\1 \2", id_.rpartition("/")[2])
    stem = re.sub(r"\.(png|jpe?g|bmp|tiff?)$", "", stem, flags=re.IGNORECASE).lower()
    words = re.findall(r"[^\W\d_]+|\d+", stem)
    others = tuple(word for word in words if word not in _WORDS and word not in _NEUTRAL)
    return any(word in _WORDS for word in words), others


def _window(counts: np.ndarray) -> np.ndarray:
    """Sum the counts of levels near each level."""
    return np.convolve(counts, np.ones(2 * _NEAR + 1, np.int64), "same")


def _equal_within(level: np.ndarray, area: np.ndarray) -> float:
    """Measure the share of neighbours within an area that are equal."""
    across, down = area[:, 1:] & area[:, :-1], area[1:] & area[:-1]
    equal = (level[:, 1:] == level[:, :-1])[across].sum() + (level[1:] == level[:-1])[down].sum()
    return float(equal / max(1, across.sum() + down.sum()))


def _share(condition: np.ndarray) -> float:
    """Return the share of true values; counting them is many times as fast as their mean."""
    return np.count_nonzero(condition) / condition.size


def _is_shape(area: np.ndarray) -> bool:
    """Check whether an area and its background are solid and have few pieces; dark speckle has many."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(area.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    pieces = sum(cv2.connectedComponents(part.astype(np.uint8))[0] - 1 for part in (area, ~area))
    return bool(inner.sum() >= _SOLID * area.sum() and pieces <= _PIECES)


def _is_drawn_over(picture: np.ndarray, image: np.ndarray) -> bool:
    """Check whether a picture of the same size is an image with something drawn into it, or a part cut out of it."""
    shown = picture.max(axis=2) > _SAME_LEVELS
    near = (np.abs(picture.astype(np.int16) - image) <= _SAME_LEVELS).all(axis=2)
    return bool(shown.any() and near[shown].mean() >= _SAME)
