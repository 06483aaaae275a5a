"""Decode the most common kinds of PNG in a third of the time: whole files, grey or RGB of 8 bits, or grey of one bit.

Pillow decodes everything else, to the same pixels. Time is saved because the pixels are unpacked only once: libpng
itself refuses a picture that lacks some, so no check for missing pixels has to unpack them before.
"""

import struct
import zlib
from io import BufferedReader

import cv2
import numpy as np

from bus_lightning.core.reading import read_at_most

_START = b"\x89PNG\r\n\x1a\n"
_KINDS = {(1, 0), (8, 0), (8, 2)}  # bit depth and kind of colour
# Chunks that change no pixel. Others can hold transparency, notes of a camera, more pictures, or what libpng warns of.
_HARMLESS = {b"IDAT", b"pHYs", b"tIME", b"gAMA", b"sRGB", b"tEXt"}
_NOTES = b"Raw profile type"
_MOST_BYTES = 100_000_000  # unpacked; larger pictures are checked first
_MOST_PACKED = 1032  # unpacked bytes for each packed byte: zlib cannot pack more


def decode_plain_png(stream: BufferedReader) -> np.ndarray | None:
    """Decode a PNG of the common kind from the start of a file, and go back there.

    Returns:
        (H, W) or (H, W, 3) uint8, RGB; one bit becomes 0 and 255. None if the file is anything else, or not whole: the
        caller then checks it as any other picture, and decodes it with Pillow.

    Raises:
        OSError: If the file cannot be read.
    """
    stream.seek(0)
    try:
        if stream.read(len(_START)) != _START:
            return None
        stream.seek(0)
        data = read_at_most(stream, _MOST_BYTES + 1)
    finally:
        stream.seek(0)
    shape = _shape_of_plain(memoryview(data)) if len(data) <= _MOST_BYTES else None
    if shape is None:
        return None
    flag = cv2.IMREAD_COLOR_RGB if len(shape) == 3 else cv2.IMREAD_GRAYSCALE
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return pixels if pixels is not None and pixels.shape == shape else None


def _shape_of_plain(data: memoryview) -> tuple[int, ...] | None:
    """Walk through the chunks of a PNG: the shape of its pixels, or None if it is not plain, damaged or cut off."""
    at, packed, shape = len(_START), 0, None
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data) or zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return None
        content, at = data[at + 8 : end], end + 4
        if shape is None:
            if name != b"IHDR" or length != 13:
                return None
            width, height, depth, color, *others = struct.unpack(">IIBBBBB", content)
            if (depth, color) not in _KINDS or any(others):
                return None
            shape = (height, width, 3) if color else (height, width)
            unpacked = height * (1 + -(-width * (3 if color else 1) * depth // 8))
        elif name == b"IEND":
            is_bounded = height * width * (3 if color else 1) <= _MOST_BYTES and unpacked <= packed * _MOST_PACKED
            return shape if width and height and is_bounded else None
        elif name not in _HARMLESS or content[: len(_NOTES)] == _NOTES:
            return None
        packed += length if name == b"IDAT" else 0
    return None
