"""Clean and resize images, and draw masks or labels into them, before augmentation; the same in every epoch.

Images are (H, W, 3) uint8 RGB, masks (H, W) uint8 in {0, 1}.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from bus_lightning.config.image_options import CONTRASTS, SOURCES, STYLES
from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import UserError
from bus_lightning.data.resizing import resize


def _nlmeans(image: np.ndarray) -> np.ndarray:
    """Denoise luma and chroma separately by non-local means; the chroma of a grey image stays as it is."""

    def denoise(part: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.fastNlMeansDenoising(part, h=8, templateWindowSize=7, searchWindowSize=15), np.uint8)

    luma, chroma = _split(image)
    return _merge(denoise(luma), denoise(chroma) if (chroma != _NO_CHROMA).any() else chroma)


def _equalise(image: np.ndarray) -> np.ndarray:
    """Apply contrast-limited adaptive histogram equalisation to the luma."""
    luma, chroma = _split(image)
    return _merge(_CLAHE().apply(luma), chroma)


def _split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split an image into luma (H, W) and chroma (H, W, 2); for grey, the luma equals the grey level."""
    parts = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    return np.ascontiguousarray(parts[..., 0]), np.ascontiguousarray(parts[..., 1:])


def _merge(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.dstack([luma, chroma]), cv2.COLOR_YCrCb2RGB)


def _clean_in_lab(image: np.ndarray, denoise: str, contrast: str) -> np.ndarray:
    """Clean by the rules of version 0.1, for networks trained with them; some grey levels become slightly coloured."""
    if denoise == "nlmeans":
        image = cv2.fastNlMeansDenoisingColored(image, h=8, hColor=8, templateWindowSize=7, searchWindowSize=15)
    else:
        image = DENOISERS[denoise](image)
    if contrast == "clahe":
        lightness, a, b = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
        image = cv2.cvtColor(cv2.merge((_CLAHE().apply(lightness), a, b)), cv2.COLOR_LAB2RGB)
    return image


_NO_CHROMA = 128
_CLAHE = partial(cv2.createCLAHE, clipLimit=2.0, tileGridSize=(8, 8))
DENOISERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda image: image,
    "median": lambda image: cv2.medianBlur(image, 5),
    "bilateral": lambda image: cv2.bilateralFilter(image, d=7, sigmaColor=40, sigmaSpace=5),
    "nlmeans": _nlmeans,
}
RULES = 2  # rules 1, of version 0.1, choose the interpolation by the height alone and clean in the LAB colour space
NEW_IMAGES = "test"  # new images are preprocessed like this part of the split


@dataclass(frozen=True)
class Preprocessing:
    """Clean and resize images.

    Attributes:
        size: Side of the network's square input, in pixels.
        resize: `stretch` to the square, or `pad`: keep the aspect ratio and fill with black.
        denoise: none, median, bilateral or nlmeans.
        contrast: none or clahe (contrast-limited adaptive histogram equalisation of the luma).
        parts: Parts of the split whose images are cleaned; the images of all parts are resized.
        rules: Version of the rules for cleaning and resizing: 2, or 1 for networks trained with version 0.1.
    """

    size: int
    resize: str = "stretch"
    denoise: str = "none"
    contrast: str = "none"
    parts: Sequence[str] = PARTS
    rules: int = RULES

    def __post_init__(self) -> None:
        _choose("preprocess.denoise", self.denoise, DENOISERS)
        _choose("preprocess.contrast", self.contrast, CONTRASTS)
        _choose("data.resize", self.resize, ("stretch", "pad"))
        _check_parts("preprocess.parts", self.parts)
        if self.rules not in (1, RULES):
            raise UserError(f"preprocess.rules={self.rules} is unknown: choose {RULES}, or 1 for a run of version 0.1.")
        if self.size < 1:
            raise UserError(f"data.size={self.size}: give the side of the square in pixels, such as 224.")

    @classmethod
    def of_config(cls, data: Mapping[str, Any], preprocess: Mapping[str, Any]) -> "Preprocessing":
        """Build it from the groups `data` and `preprocess` of a config; null keeps the default."""
        chosen = {key: value for key, value in preprocess.items() if value is not None}
        return cls(size=data["size"], resize=data["resize"], **chosen)

    def clean(self, image: np.ndarray) -> np.ndarray:
        """Remove noise, then raise the contrast; a grey image stays grey."""
        if self.rules == 1:
            return _clean_in_lab(image, self.denoise, self.contrast)
        image = DENOISERS[self.denoise](image)
        return _equalise(image) if self.contrast == "clahe" else image

    def box(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Compute where an image of this shape (H, W) is in the square: top, left, height, width."""
        if self.resize == "stretch":
            return 0, 0, self.size, self.size
        scale = self.size / max(shape)
        height, width = (max(1, round(side * scale)) for side in shape)
        return (self.size - height) // 2, (self.size - width) // 2, height, width

    def fit(self, array: np.ndarray, is_mask: bool = False) -> np.ndarray:
        """Resize an image (H, W, 3) or a mask (H, W) into the square, (size, size[, 3])."""
        top, left, height, width = self.box(array.shape[:2])
        if is_mask:
            resized = cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        elif self.rules == 1:
            smooth = cv2.INTER_AREA if height < array.shape[0] else cv2.INTER_LINEAR
            resized = cv2.resize(array, (width, height), interpolation=smooth)
        else:
            resized = resize(array, (height, width))
        square = np.zeros((self.size, self.size, *array.shape[2:]), array.dtype)
        square[top : top + height, left : left + width] = resized
        return square


@dataclass(frozen=True)
class Overlay:
    """Put a mask or the label into the image, as the paper describes its preprocessing.

    Attributes:
        style: `none`; `contour` or `fill` of the lesion; `class_mark`: the name of the class on every image; `channel`:
            the mask as a fourth channel; `crop`: the image is cropped around the lesion.
        source: `ground_truth` masks, which a user of the trained network does not have, or `predicted` ones.
        parts: Parts of the split whose images get it.
        color: RGB of a drawing, 0 to 255.
        color_by_class: RGB per class, in the order of the labels, instead of `color`.
        alpha: Opacity of `fill` in [0, 1].
        margin: Space that `crop` leaves on each side of the lesion, as a share of the lesion's longer side.
        segmenters: Run folders that predicted the masks, or a pattern; only used to find the masks.
        tasks: Tasks whose images get it.
    """

    style: str = "none"
    source: str = "ground_truth"
    parts: Sequence[str] = PARTS
    color: Sequence[int] = (255, 255, 0)
    color_by_class: Sequence[Sequence[int]] | None = None
    alpha: float = 0.4
    margin: float = 0.25
    segmenters: str | Sequence[str] | None = None
    tasks: Sequence[str] = ("classification", "segmentation", "joint")

    def __post_init__(self) -> None:
        _choose("overlay.style", self.style, STYLES)
        _choose("overlay.source", self.source, SOURCES)
        _check_parts("overlay.parts", self.parts)
        if self.style == "channel" and not set(PARTS) <= set(self.parts):  # a grey level would stand for the mask
            raise UserError(
                f"overlay.parts has {' and '.join(self.parts)} only, but overlay.style=channel gives every image a "
                f"fourth channel: use 'overlay.parts=[{','.join(PARTS)}]', or another style."
            )
        for color in (self.color, *(self.color_by_class or ())):
            if len(color) != 3 or not all(0 <= value <= 255 for value in color):
                raise UserError(f"overlay.color: {list(color)} is not a colour: give red, green, blue from 0 to 255.")
        if not 0 <= self.alpha <= 1:
            raise UserError(f"overlay.alpha={self.alpha}: give an opacity from 0 to 1.")
        if self.margin < 0:
            raise UserError(f"overlay.margin={self.margin}: give a share of the lesion's longer side, such as 0.25.")

    def applies_to(self, part: str) -> bool:
        """Check whether the images of a part get the mask or the label."""
        return self.style != "none" and part in self.parts

    def crops(self, part: str) -> bool:
        """Check whether the images of a part are cropped around the lesion."""
        return self.style == "crop" and part in self.parts

    def box(self, mask: np.ndarray) -> tuple[slice, slice]:
        """Compute the rows and columns that `crop` keeps: a square around the lesion, limited to the image.

        Args:
            mask: (H, W) uint8 in {0, 1}, at the resolution of the image; an empty mask keeps the whole image.
        """
        left, top, width, height = cv2.boundingRect(mask)
        if not width:
            return slice(0, mask.shape[0]), slice(0, mask.shape[1])
        half = max(width, height) * (0.5 + self.margin)
        centre = (top + height / 2, left + width / 2)
        bounds = (
            (max(0, round(c - half)), min(side, round(c + half))) for c, side in zip(centre, mask.shape, strict=True)
        )
        rows, columns = (slice(*bound) for bound in bounds)
        return rows, columns

    def draw(self, image: np.ndarray, mask: np.ndarray, label: int = 0, name: str = "") -> np.ndarray:
        """Draw into a copy of an image, or add the mask to its channels.

        Args:
            image: (H, W, 3) uint8.
            mask: (H, W) uint8 in {0, 1}, the lesion.
            label: Position of the class, for `color_by_class`.
            name: Name of the class, for `class_mark`.

        Returns:
            (H, W, 3) uint8, or (H, W, 4) for the style `channel`, whose last channel is 0 or 255. For `crop`, the image
            itself, which was cropped before.

        Raises:
            UserError: If `color_by_class` has no color for this class.
        """
        if self.style == "crop":
            return image
        if self.style == "channel":
            return np.dstack([image, mask * np.uint8(255)])
        drawn = image.copy()
        by_class = self.color_by_class
        if by_class and label >= len(by_class):
            raise UserError(f"overlay.color_by_class has {len(by_class)} colours, but none for '{name}': add one.")
        color = tuple(by_class[label] if by_class else self.color)
        height = image.shape[0]
        if self.style == "contour":
            outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, outlines, -1, color, thickness=max(1, height // 100))
        elif self.style == "fill":
            blend = image * (1 - self.alpha) + np.array(color) * self.alpha
            drawn = np.where(mask[..., None] > 0, blend.round(), image).astype(np.uint8)
        elif self.style == "class_mark":
            scale = height / 300
            cv2.putText(drawn, name, (round(8 * scale), round(28 * scale)), cv2.FONT_HERSHEY_SIMPLEX,
                        scale, color, max(1, round(2 * scale)), cv2.LINE_AA)  # fmt: skip
        return drawn


def prepare_new(
    image: np.ndarray, preprocessing: Preprocessing, overlay: Overlay | None = None, mask: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Prepare a new image for a network as a test image: crop, clean, resize, draw the mask.

    Args:
        image: (H, W, 3) uint8 RGB.
        preprocessing: How to clean and resize.
        overlay: How to draw the mask; None draws none.
        mask: (H, W) bool or uint8 in {0, 1}; without it, nothing is drawn.

    Returns:
        (size, size, 3) uint8, or (size, size, 4) with the mask as the last channel; and the rows and columns of the
        image that it shows.
    """
    part = slice(0, image.shape[0]), slice(0, image.shape[1])
    drawn = None if mask is None or overlay is None or not overlay.applies_to(NEW_IMAGES) else mask.astype(np.uint8)
    if drawn is not None and overlay is not None and overlay.crops(NEW_IMAGES):
        part = overlay.box(drawn)
        image, drawn = image[part], np.ascontiguousarray(drawn[part])
    square = preprocessing.fit(preprocessing.clean(image) if NEW_IMAGES in preprocessing.parts else image)
    if drawn is not None and overlay is not None:
        square = overlay.draw(square, preprocessing.fit(drawn, is_mask=True))
    return square, part


def _choose(option: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise UserError(f"{option}={value} is unknown: choose one of {', '.join(known)}.")


def _check_parts(option: str, parts: Sequence[str]) -> None:
    for part in parts:
        _choose(option, part, PARTS)
