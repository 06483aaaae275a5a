"""Check before decoding what a picture file announces, and whether it is complete, for training and diagnosis.

The libraries that decode a picture reserve what its header announces, and fill missing pixels with black or grey.
"""

import struct
import zlib
from collections.abc import Callable
from io import BufferedIOBase, BufferedReader

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import read_at_most
from bus_lightning.data.file_kinds import HEAD_BYTES, recognise
from bus_lightning.data.structure_errors import excessive
from bus_lightning.data.structure_jpeg import check_jpeg
from bus_lightning.data.structure_png import check_png
from bus_lightning.data.structure_tiff import check_tiff

_JPEG_BYTES = 128_000_000  # with the previews and the clip that a telephone appends


def _any_size(width: int, height: int) -> None:
    """Accept a picture of any size."""


def check_picture(stream: BufferedIOBase, check_size: Callable[[int, int], None] = _any_size) -> tuple[str, ...]:
    """Check a PNG, JPEG or TIFF from its start, and go back there; other files are left to their decoder.

    Args:
        stream: The opened file.
        check_size: Raises an error if a width and height are not wanted; it is called before anything is decoded.

    Returns:
        Codes of doubts about the whole file: `POSSIBLY_INCOMPLETE` if no decoder can tell.

    Raises:
        UserError: In one line without the file's name, when it announces too much, is incomplete or damaged.
        OSError, SyntaxError: From Pillow, if it cannot decode the file.
    """
    stream.seek(0)
    try:
        kind = recognise(stream.read(HEAD_BYTES))
    except UserError:  # its decoder has the better words
        kind = ""
    try:
        return _check(stream, kind, check_size)
    except (struct.error, zlib.error, IndexError, OverflowError, ValueError):
        raise UserError(f"The {kind} is cut off or damaged: export it again.") from None
    finally:
        stream.seek(0)


def checked(stream: BufferedReader) -> BufferedReader:
    """Return an opened picture after `check_picture`, for training, which has no limit of its size."""
    check_picture(stream)
    return stream


def _check(stream: BufferedIOBase, kind: str, check_size: Callable[[int, int], None]) -> tuple[str, ...]:
    stream.seek(0)
    if kind == "PNG":
        return check_png(stream, check_size)
    if kind == "TIFF":
        return check_tiff(stream, check_size)
    if kind != "JPEG":
        return ()
    data = read_at_most(stream, _JPEG_BYTES + 1)
    if len(data) > _JPEG_BYTES:
        raise excessive("JPEG", "more than 128 MB")
    return check_jpeg(data, check_size)
