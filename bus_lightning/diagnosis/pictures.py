"""Read PNG, JPEG, BMP and TIFF, whole or not at all."""

from collections.abc import Iterator
from io import BufferedReader

import numpy as np
from PIL import Image, ImageOps

from bus_lightning.diagnosis.frames import (
    Frame,
    Limits,
    check_number,
    check_size,
    damaged,
    decoding,
    silence,
    to_8_bits,
)
from bus_lightning.errors import UserError

silence("PIL")

_COLORS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_PHOTOMETRIC = 262  # tag of a TIFF; 0: the smallest level is white


def read_pictures(stream: BufferedReader, kind: str, limits: Limits) -> tuple[int, Iterator[Frame]]:
    """Read the pictures of a file.

    The pages of a TIFF and of an animated PNG are frames; of a JPEG with previews the first picture is read. Palettes,
    grey, CMYK and YCbCr become RGB; an alpha channel is ignored, as in training; the camera's orientation is applied.
    Grey levels of 16 bits are shifted by the power of two that brings the brightest into 8 bits, colours of 16 bits
    lose their lower 8. Floating-point levels are read as 0 to 1 or, if any is above 1, as 0 to 255.

    Args:
        stream: The file, open at its start.
        kind: PNG, JPEG, BMP or TIFF, as the content says.
        limits: What is read at most.

    Returns:
        Number of pictures, and an iterator that decodes one after another.

    Raises:
        UserError: When the file is damaged, too large, or of a kind that has no meaning here.
    """
    with decoding(kind):
        if kind == "PNG":  # its checksums, which decoding alone does not look at
            with Image.open(stream, formats=["PNG"]) as image:
                check_size(*image.size, limits)
                image.verify()
            stream.seek(0)
        image = Image.open(stream, formats=[kind])
        check_size(*image.size, limits)
        number = _count(image, limits)
    return number, _frames(image, kind, number, limits)


def _count(image: Image.Image, limits: Limits) -> int:
    """Count the pictures, without walking through more of them than the limit."""
    if image.format == "TIFF":
        for number in range(1, limits.frames + 1):
            try:
                image.seek(number)
            except EOFError:
                return number
        check_number(limits.frames + 1, limits)
    number = int(getattr(image, "n_frames", 1)) if image.format == "PNG" else 1
    check_number(number, limits)
    return number


def _frames(image: Image.Image, kind: str, number: int, limits: Limits) -> Iterator[Frame]:
    for k in range(number):
        with decoding(kind):
            image.seek(k)
            check_size(*image.size, limits)
            array = _rgb(image, kind)
        yield Frame(array, k if number > 1 else None)


def _rgb(image: Image.Image, kind: str) -> np.ndarray:
    """Decode the picture that the file is at, to (H, W, 3) uint8."""
    image.load()
    upright = image if kind == "TIFF" else ImageOps.exif_transpose(image)  # of a TIFF, loading does it
    if upright.mode in _COLORS:
        return np.array(upright.convert("RGB"))
    if upright.mode == "F":
        grey = _from_float(np.asarray(upright))
    elif upright.mode.startswith("I"):
        values = np.asarray(upright)
        if values.min() < 0 or values.max() > 65535:
            raise UserError("The picture has levels below 0 or above 65535: save it with 8 or 16 bits.")
        grey = to_8_bits(values)
        if kind == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # type: ignore[attr-defined]
            grey = 255 - grey  # which Pillow does for 8 bits only
    else:
        raise UserError("The picture has colours of a rare kind (as LAB): save it as RGB or grey, with 8 bits.")
    if grey.ndim != 2:
        raise damaged(kind)
    return np.repeat(grey[..., None], 3, axis=2)


def _from_float(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UserError("The picture has levels that are no numbers (NaN or infinite): save it with 8 or 16 bits.")
    highest = values.max()
    if values.min() < 0 or highest > 255:
        raise UserError("The picture has floating-point levels outside 0 to 255: save it with 8 or 16 bits.")
    return np.rint(values * 255 if highest <= 1 else values).astype(np.uint8)
