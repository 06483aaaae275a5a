"""A frame, the limits of what is read, and what the readers of image files, DICOM and video share."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.structure_errors import POSSIBLY_INCOMPLETE

# Codes of doubts about an image: the window or table shows few of the stored levels; nearly all pixels are equal.
FEW_LEVELS, BLANK = "few_levels", "blank"
FILE_DOUBTS = (POSSIBLY_INCOMPLETE, FEW_LEVELS)  # those that a frame may carry
LARGE = 4_000_000  # pixels of an image or a batch that is handled alone, so that the memory has a bound
LONGEST_SIDE = 65_535  # of a JPEG, and well below PNG's
LEAST_SIDE = 16
REFUSALS = {
    "too_small": "The image has {width} x {height} pixels: give one of at least {least} x {least}.",
    "too_long": "The image has {width} x {height} pixels, more than {longest} on a side: crop it.",
    "too_many_pixels": "The image has {width} x {height} pixels, more than {most:g} million: make it smaller.",
    "too_many_bytes": "The file has {size:g} MB, more than {most:g} MB: make it smaller.",
}


@dataclass(frozen=True)
class Frame:
    """One image of a file."""

    image: np.ndarray  # (H, W, 3) uint8 RGB, C-contiguous
    number: int | None = None  # from 0; None in a file with one image
    spacing_mm: tuple[float, float] | None = None  # height and width of a pixel in millimetres, if the file states them
    doubts: tuple[str, ...] = ()  # codes of doubts about the file or the image, see `doubt.find_doubts`


Frames = tuple[int, Iterator[Frame]]  # number of images in a file, and an iterator that decodes one after another


@dataclass(frozen=True)
class Limits:
    """The largest file that is read; a larger one is refused by its header, before anything is decoded."""

    file_bytes: int = 1_000_000_000
    pixels: int = 25_000_000  # height times width of an image
    frames: int = 3_000

    def check_size(self, width: int, height: int) -> None:
        """Raise UserError for an image that is too small to show anything, or too large."""
        size = {"width": width, "height": height}
        if min(width, height) < LEAST_SIDE:
            raise UserError(REFUSALS["too_small"].format(**size, least=LEAST_SIDE))
        if max(width, height) > LONGEST_SIDE:
            raise UserError(REFUSALS["too_long"].format(**size, longest=LONGEST_SIDE))
        if width * height > self.pixels:
            raise UserError(REFUSALS["too_many_pixels"].format(**size, most=self.pixels / 1e6))

    def check_number(self, number: int) -> None:
        """Raise UserError for a file with too many images."""
        if number > self.frames:
            raise UserError(f"The file has more than {self.frames} images: cut it into shorter ones.")

    def check_bytes(self, size: int) -> None:
        """Raise UserError for a file that is too large."""
        if size > self.file_bytes:
            above = math.ceil(size / 1e5) / 10  # rounded up, so that it is never as large as the limit
            raise UserError(REFUSALS["too_many_bytes"].format(size=above, most=self.file_bytes / 1e6))


def silence(library: str) -> None:
    """Turn off the log of a library after its import: its lines quote headers, which may name the patient."""
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)


@contextmanager
def decoding(kind: str) -> Iterator[None]:
    """Hide what a library says about a file of this kind, such as "PNG": its words may quote the name or the header.

    Not for several threads at once, because they share Python's list of warning filters.

    Raises:
        MemoryError: When there is too little memory.
        UserError: For any other error of the library.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError("The image has more pixels than can be read: make it smaller.") from None
    except Exception as error:  # damaged bytes make these libraries raise anything, from struct.error to AttributeError
        if isinstance(error, MemoryError) or "memory" in str(error).lower():  # of OpenCV and Pillow it is another type
            raise MemoryError from None
        raise damaged(kind) from None


def damaged(kind: str) -> UserError:
    """Return the error for content that cannot be decoded."""
    return UserError(
        f"The {kind} cannot be decoded because it is cut off, damaged or of a rare kind: "
        "export it again, or save it as a PNG of 8 bits."
    )
