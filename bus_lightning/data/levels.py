"""Read the levels of a picture file and convert them to 8 bits, for training and diagnosis. It needs no PyTorch.

Levels of more than 8 bits are read on a scale. If the file states its bit depth, that is the scale. If it does not, as
in a PNG or TIFF of 16 bits, the scale is the smallest of 8, 10, 12, 14 and 16 bits that holds the brightest level of
all pictures that belong together: the pages of a file, or the images of a data set.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase

import cv2
import numpy as np
from PIL import Image, ImageOps

from bus_lightning.core.errors import UserError

DEPTHS = (8, 10, 12, 14, 16)  # bits that scanners and programs record
_PLAIN = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
DEEP_COLORS = ("RGB", "RGBA", "RGBX", "LA")  # Pillow keeps only the upper 8 of 16 bits in these modes
_ROWS = 256  # converted at a time: copies of a whole image take much memory
_PNG_START, _PNG_DEPTH = 8, 24  # byte offsets of the first chunk and of the bit depth
# Tags of TIFF; a photometric interpretation of 0 says that the smallest level is white.
_BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339
_ORIENTATION = 274  # tag of Exif
_RARE = "save it as RGB or grey, with 8 bits."


@dataclass(frozen=True)
class Scale:
    """The level that is white in files that do not state their bit depth.

    Attributes:
        bits: Bit depth of integer levels, one of `DEPTHS`.
        white: White of floating-point levels, 1 or 255.
    """

    bits: int = DEPTHS[0]
    white: int = 1

    def holding(self, levels: "Levels") -> "Scale":
        """Return the scale widened to hold these levels; levels of a stated depth have their own scale."""
        if levels.bits is not None:
            return self
        highest = levels.values.max()
        if np.issubdtype(levels.values.dtype, np.floating):
            return Scale(self.bits, max(self.white, 255 if highest > 1 else 1))
        needed = int(highest).bit_length()
        return Scale(max(self.bits, next(depth for depth in DEPTHS if needed <= depth)), self.white)


OWN_SCALE = Scale()  # the smallest: widened only as far as the file itself needs


def widest(scales: Iterable[Scale]) -> Scale:
    """Return the smallest scale that holds all of several scales."""
    combined = Scale()
    for scale in scales:
        combined = Scale(max(combined.bits, scale.bits), max(combined.white, scale.white))
    return combined


@dataclass(frozen=True)
class Levels:
    """The levels of a picture file.

    Attributes:
        values: (H, W) or (H, W, 3), integers from 0 to 65535, or floating-point numbers from 0 to 255.
        bits: Bit depth that the file states; None if it states none.
        inverted: Whether the smallest level is white.
    """

    values: np.ndarray
    bits: int | None
    inverted: bool = False

    def rgb(self, scale: Scale) -> np.ndarray:
        """Convert the levels to (H, W, 3) uint8 on the scale, or on a wider one if it does not hold them."""
        if self.values.dtype == np.uint8 and self.values.ndim == 3 and self.bits == 8 and not self.inverted:
            return np.ascontiguousarray(self.values)
        scale = scale.holding(self)
        rgb = np.empty((*self.values.shape[:2], 3), np.uint8)
        for rows in strips(len(rgb)):
            values = self.values[rows]
            if np.issubdtype(values.dtype, np.floating):
                shown = np.rint(values * (255 / scale.white)).astype(np.uint8)
            else:
                shown = to_8_bits(values, self.bits or scale.bits)
            shown = 255 - shown if self.inverted else shown
            rgb[rows] = shown if shown.ndim == 3 else shown[..., None]
        return rgb


def to_8_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Convert levels to 8 bits: deeper levels lose their lower bits, 0 stays black, and white becomes 255.

    Args:
        values: Integers from 0 to 2**bits - 1; larger ones count as white.
        bits: The bit depth.

    Returns:
        uint8, same shape; the same array if nothing changes.
    """
    if bits == 8 and values.dtype == np.uint8:
        return values
    if bits < 8:
        values, bits = values.astype(np.uint16) * 255 // (2**bits - 1), 8
    return np.minimum(values >> (bits - 8), 255).astype(np.uint8)


def is_deep(image: Image.Image, stream: BufferedIOBase) -> bool:
    """Check in the header whether the current page of a file has levels of more than 8 bits."""
    if image.mode not in _PLAIN:
        return True
    if image.format == "PNG":
        return _png_depth(stream) > 8
    return image.format == "TIFF" and image.mode in DEEP_COLORS and max(_tag(image, _BITS)) > 8


def read_levels(image: Image.Image, stream: BufferedIOBase) -> Levels:
    """Decode the current page of an opened file, in upright orientation; an alpha channel is ignored.

    Palettes, CMYK, YCbCr and grey of up to 8 bits become RGB. The camera's orientation is applied.

    Args:
        image: The result of `Image.open`, at the page.
        stream: The file that it was opened from.

    Raises:
        UserError: In one line without the file's name, if the levels are not supported.
        Exception: Whatever Pillow raises for a damaged file.
    """
    deep = is_deep(image, stream)
    if deep and image.format == "TIFF" and image.mode in _PLAIN and _tag(image, _PLANES)[0] == 2:
        raise UserError(f"The picture has colours of more than 8 bits in separate planes: {_RARE}")
    page = image.tell()
    image.load()
    upright = image
    if image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) != 1:  # loading a TIFF turns it
        if getattr(image, "n_frames", 1) == 1:
            ImageOps.exif_transpose(image, in_place=True)
        else:
            upright = ImageOps.exif_transpose(image)  # its next page needs it as it is
    if upright.mode in _PLAIN:
        if image.format == "TIFF" and 2 in _tag(image, _SAMPLE_FORMAT) and _pixels(upright, "RGB").max() > 127:
            raise _outside()  # Pillow reads signed levels as unsigned
        if not deep or upright.mode not in DEEP_COLORS:
            return Levels(_pixels(upright, "RGB"), 8)
        values = _deep_colors(upright, stream, page)
        return Levels(values, _stated(image, stream, values))
    values = _pixels(upright)
    if values.ndim != 2 or not upright.mode.startswith(("I", "F")):
        raise UserError(f"The picture has an unsupported colour mode (such as LAB): {_RARE}")
    inverted = image.format == "TIFF" and _tag(image, _PHOTOMETRIC)[0] == 0  # Pillow inverts 8 bits only
    if upright.mode == "F":
        _check_floats(values)
        return Levels(values, None, inverted)
    if values.min() < 0 or values.max() > 65535:
        raise _outside()
    values = values.astype(np.uint16, copy=False)
    return Levels(values, _stated(image, stream, values), inverted)


def read_rgb(image: Image.Image, stream: BufferedIOBase, scale: Scale) -> np.ndarray:
    """Decode the current page of an opened file to (H, W, 3) uint8; arguments and errors as in `read_levels`."""
    return read_levels(image, stream).rgb(scale)


def strips(height: int) -> Iterator[slice]:
    """Divide the rows of an image into strips."""
    return (slice(top, min(top + _ROWS, height)) for top in range(0, height, _ROWS))


def _pixels(image: Image.Image, mode: str | None = None) -> np.ndarray:
    """Copy the pixels of an image into an array, in another mode if one is given."""
    pixels = None
    for rows in strips(image.height):
        part = _strip(image, rows, mode)
        if pixels is None:
            pixels = np.empty((image.height, *part.shape[1:]), part.dtype)
        pixels[rows] = part
    assert pixels is not None
    return pixels


def _strip(image: Image.Image, rows: slice, mode: str | None) -> np.ndarray:
    strip = image.crop((0, rows.start, image.width, rows.stop))
    return np.asarray(strip if mode is None else strip.convert(mode))


def _deep_colors(image: Image.Image, stream: BufferedIOBase, page: int) -> np.ndarray:
    """Decode colours of 16 bits with OpenCV, and check that their upper 8 bits equal Pillow's result."""
    with _at(stream, 0):
        data = np.frombuffer(stream.read(), np.uint8)
    _, pages = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
    if not pages or pages[0].ndim != 3 or pages[0].dtype != np.uint16:
        raise UserError(f"The picture has colours of 16 bits in an unsupported form: {_RARE}")
    colors: np.ndarray = pages[0][..., 2::-1]  # OpenCV has blue first
    if colors.shape[:2] != (image.height, image.width) or not all(
        np.array_equal(colors[rows] >> 8, _strip(image, rows, "RGB")) for rows in strips(image.height)
    ):
        raise UserError(f"The picture has colours of 16 bits in an unsupported form: {_RARE}")
    return colors


def _check_floats(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise UserError("The picture has levels that are not numbers (NaN or infinite): save it with 8 or 16 bits.")
    if values.min() < 0 or values.max() > 255:
        raise UserError("The picture has floating-point levels outside 0 to 255: save it with 8 or 16 bits.")


def _outside() -> UserError:
    return UserError("The picture has levels below 0 or above 65535: save it with 8 or 16 bits.")


def _stated(image: Image.Image, stream: BufferedIOBase, values: np.ndarray) -> int | None:
    """Find the bit depth that a file states: TIFF's bits per sample, if below 16, or PNG's significant bits.

    The PNG standard wants levels stretched over all 16 bits; the significant bits are the depth if that was not done.
    """
    if image.format == "TIFF":
        bits = max(_tag(image, _BITS))
        return bits if bits < 16 else None
    significant = _significant_bits(stream) if image.format == "PNG" else 0
    if not 8 <= significant < 16:
        return None
    return significant if int(values.max()).bit_length() <= significant else 16


def _tag(image: Image.Image, tag: int) -> tuple[int, ...]:
    """Read a tag of the TIFF's page; (1,), TIFF's default for the tags used in this module, if it is missing."""
    value = image.tag_v2.get(tag, 1)  # type: ignore[attr-defined]
    return value if isinstance(value, tuple) else (value,)


@contextmanager
def _at(stream: BufferedIOBase, position: int) -> Iterator[None]:
    """Move to another position in a file, and return afterwards."""
    before = stream.tell()
    stream.seek(position)
    try:
        yield
    finally:
        stream.seek(before)


def _png_depth(stream: BufferedIOBase) -> int:
    with _at(stream, _PNG_DEPTH):
        return stream.read(1)[0]


def _significant_bits(stream: BufferedIOBase) -> int:
    """Find the largest depth in a PNG's sBIT chunk, which comes before the pixels; 0 if there is none."""
    with _at(stream, _PNG_START):
        while len(head := stream.read(8)) == 8 and head[4:] != b"IDAT":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"sBIT":
                return max(stream.read(length), default=0)
            stream.seek(length + 4, 1)  # skips the checksum, too
    return 0
