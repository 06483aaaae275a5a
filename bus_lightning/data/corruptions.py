"""Corrupt images as scanners, exports and archives do, in five strengths.

An image's id decides what is random, such as the place of a crop. It is the same at every strength, so that a stronger
corruption is more of the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.resizing import resize

STRENGTHS = (1, 2, 3, 4, 5)
_GRAIN = 0.003  # of speckle: standard deviation of its smoothing, as a share of the longer side
_LEVELS_PER_DB = 255 / 60  # of a display with a dynamic range of 60 dB, which log compression shows evenly
_BLACK = 16  # darker levels shift less, so that black margins stay black
_Pixels = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _speckle(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply each pixel by a number around 1; neighbours have similar numbers, as the grains of speckle."""
    noise = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]), (0, 0), max(0.5, _GRAIN * max(image.shape[:2])))
    spread = noise.std() or 1.0  # 0 for a single pixel
    return _levels(image * (1 + deviation * noise / spread)[..., None])


def _gain(image: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """Make an image brighter or darker."""
    return _shifted(image, np.full((len(image), 1, 1), _sign(rng) * decibels))


def _depth_gain(image: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """Make the top darker and the bottom brighter, or the reverse."""
    return _shifted(image, np.linspace(-1, 1, len(image))[:, None, None] * _sign(rng) * decibels)


def _shifted(image: np.ndarray, decibels: np.ndarray) -> np.ndarray:
    return _levels(image + decibels * _LEVELS_PER_DB * np.minimum(image / _BLACK, 1))


def _blur(image: np.ndarray, percent: float, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), percent / 100 * max(image.shape[:2]))


def _jpeg(image: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    return cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def _resize(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Make an image smaller and enlarge it again."""
    shape = image.shape[:2]
    small = tuple(max(1, round(side / factor)) for side in shape)
    return resize(resize(image, small), shape)


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _levels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Corruption:
    """A change of an image.

    Attributes:
        title: What a reader calls it.
        measure: What its value is, in words.
        values: Its value at the strengths 1 to 5.
        change: (image, value, random source) -> image of the same size; None crops.
    """

    title: str
    measure: str
    values: tuple[float, float, float, float, float]
    change: _Pixels | None


CORRUPTIONS = {
    "speckle": Corruption(
        "speckle", "standard deviation of the factor that each pixel is multiplied with", (0.05, 0.1, 0.2, 0.3, 0.4),
        _speckle,
    ),
    "gain": Corruption(
        "gain", "dB brighter or darker, on a display of 60 dB", (2, 4, 6, 9, 12), _gain
    ),
    "depth_gain": Corruption(
        "gain with depth", "dB by which top and bottom become darker and brighter, or the reverse", (2, 4, 6, 9, 12),
        _depth_gain,
    ),
    "blur": Corruption(
        "blur", "standard deviation of the Gaussian, in % of the longer side", (0.2, 0.4, 0.7, 1.0, 1.5), _blur
    ),
    "crop": Corruption("crop", "share of each side that is kept", (0.9, 0.8, 0.7, 0.6, 0.5), None),
    "jpeg": Corruption("JPEG", "quality", (50, 30, 20, 10, 5), _jpeg),
    "resize": Corruption(
        "resizing", "factor by which the sides are reduced and enlarged again", (2, 3, 4, 6, 8), _resize
    ),
}  # fmt: skip


def corrupt(
    name: str, strength: int, image: np.ndarray, masks: Sequence[np.ndarray], id_: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Corrupt an image, and cut its masks where it is cropped.

    A crop is a window of the image's proportions at a random place. It always contains the lesion's middle pixel in the
    order of reading, so that at least a part of the lesion stays.

    Args:
        name: Key of `CORRUPTIONS`.
        strength: 1 (slight) to 5 (severe).
        image: (H, W, 3) uint8, RGB, at the resolution of the file.
        masks: (H, W) uint8 in {0, 1}, the ground truth first.
        id_: Id of the image.

    Returns:
        Image and masks of one size; equal channels stay equal.
    """
    corruption, rng = CORRUPTIONS[name], np.random.default_rng(stable_hash("corruption", name, id_))
    value = corruption.values[strength - 1]
    if corruption.change:
        return corruption.change(image, value, rng), list(masks)
    window = _window(masks[0], value, rng)
    return np.ascontiguousarray(image[window]), [np.ascontiguousarray(mask[window]) for mask in masks]


def _window(mask: np.ndarray, share: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Choose the rows and columns that a crop keeps."""
    lesion = np.argwhere(mask)
    kept = lesion[len(lesion) // 2].tolist() if len(lesion) else [None, None]
    slices = []
    for side, pixel in zip(mask.shape, kept, strict=True):
        length = max(1, round(share * side))
        first, last = 0, side - length
        if pixel is not None:
            first, last = max(first, pixel - length + 1), min(last, pixel)
        start = first + int(rng.random() * (last - first + 1))
        slices.append(slice(start, start + length))
    return slices[0], slices[1]
