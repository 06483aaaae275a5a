"""One picture, what is read at most, and what the readers of pictures, DICOM and video share."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bus_lightning.core.errors import UserError

_LONGEST_SIDE = 65_535  # of a JPEG, and well below PNG's
LEAST_SIDE = 16
_LOCK = threading.RLock()


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, C-contiguous.
        number: Of a file with several pictures, which one it is, from 0.
        spacing_mm: Height and width of a pixel in millimetres, where the file says it.
    """

    image: np.ndarray
    number: int | None = None
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Limits:
    """What is read at most; a file beyond it is refused by its header, before anything is decoded.

    Attributes:
        file_bytes: Size of the file.
        pixels: Height times width of one picture.
        frames: Pictures of one file.
    """

    file_bytes: int = 1_000_000_000
    pixels: int = 25_000_000
    frames: int = 3_000


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a picture that is too small to show anything, or larger than the limit.

    Raises:
        UserError: When it is.
    """
    if min(width, height) < LEAST_SIDE:
        raise UserError(f"The picture has {width} x {height} pixels: give one of at least {LEAST_SIDE} x {LEAST_SIDE}.")
    if max(width, height) > _LONGEST_SIDE:
        raise UserError(
            f"The picture has {width} x {height} pixels, and at most {_LONGEST_SIDE} a side are read: cut it."
        )
    if width * height > limits.pixels:
        raise UserError(
            f"The picture has {width} x {height} pixels, and at most {limits.pixels / 1e6:g} million are read: "
            "make it smaller."
        )


def check_number(number: int, limits: Limits) -> None:
    """Refuse a file with more pictures than the limit.

    Raises:
        UserError: When it has more.
    """
    if number > limits.frames:
        raise UserError(f"The file has more than {limits.frames} pictures: cut it into shorter ones.")


def silence(library: str) -> None:
    """Let a library log nothing: what it says quotes headers, and they may name the patient.

    To be called when it has been imported, for pydicom then sets the level of its logger.
    """
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)


@contextmanager
def decoding(kind: str) -> Iterator[None]:
    """Keep what a library says about a file to itself: its warnings and errors may quote the name or the header.

    One thread at a time, for Python's list of warning filters is one for all threads.

    Args:
        kind: What is decoded, as "PNG".

    Raises:
        UserError: In place of whatever the library raises.
    """
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except (MemoryError, Image.DecompressionBombError):
        raise UserError("The picture has more pixels than can be read: make it smaller.") from None
    except Exception:  # bad bytes make these libraries raise anything, from struct.error to AttributeError
        raise damaged(kind) from None


def damaged(kind: str) -> UserError:
    """Make the error for content that cannot be decoded."""
    return UserError(
        f"The {kind} cannot be decoded, it is cut off, damaged or of a rare kind: "
        "export it anew, or save it as a PNG of 8 bits."
    )
