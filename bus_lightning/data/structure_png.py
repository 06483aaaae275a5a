"""Check before decoding what the chunks of a PNG announce, and whether they hold all pixels.

Pillow takes a PNG as whole whose packed pixels end early but regularly, and leaves the rest black.
"""

import struct
import zlib
from collections.abc import Callable
from io import BufferedIOBase

from bus_lightning.core.errors import UserError
from bus_lightning.data.structure_errors import excessive, incomplete
from bus_lightning.data.structure_tags import check_exif

_CHUNKS = 200_000  # a file of 25 million pixels has 12,000 of the usual size
_OTHER_BYTES = 32_000_000  # of chunks without pixels, such as a colour profile
_PIECE = 1 << 16
_UNPACKED = 1 << 20  # bytes that are unpacked at a time
_FRAME_NUMBER = 4  # bytes before the pixels of a later image
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of colour
# Of an interlaced picture: first column and row, and the steps between columns and rows, of each pass.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_NOTES_AS_TEXT = b"Raw profile type exif\0"
_NOTES_BYTES = 64_000


class _Pixels:
    """The packed pixels of one image, of which only the number of bytes is of interest."""

    def __init__(self, width: int, height: int, depth: int, color: int, interlaced: int) -> None:
        bits = depth * _CHANNELS.get(color, 1)
        passes = _PASSES if interlaced else ((0, 0, 1, 1),)
        self.missing = 0
        for left, top, across, down in passes:
            columns, rows = -(-(width - left) // across), -(-(height - top) // down)
            if columns > 0 and rows > 0:
                self.missing += rows * (1 + -(-columns * bits // 8))  # a byte for the filter of each row
        self.most = self.missing + self.missing // 8 + _PIECE  # packed
        self._unpacker = zlib.decompressobj()

    def add(self, data: bytes) -> None:
        while data and self.missing > 0 and not self._unpacker.eof:
            self.missing -= len(self._unpacker.decompress(data, _UNPACKED))
            data = self._unpacker.unconsumed_tail

    def finish(self) -> None:
        if self.missing > 0:
            raise incomplete("PNG")


def check_png(stream: BufferedIOBase, check_size: Callable[[int, int], None]) -> tuple[str, ...]:
    """Check all chunks of a PNG.

    Args:
        stream: The opened file.
        check_size: Raises an error if a width and height are not wanted; it is called before anything is unpacked.

    Returns:
        No doubts: the number of bytes decides.

    Raises:
        UserError: In one line without the file's name, when it announces too much, or is incomplete.
        OSError, struct.error, zlib.error: When it is cut off or damaged.
    """
    stream.seek(8)
    length, name, header = struct.unpack(">I4s13s", stream.read(21))
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if (length, name) != (13, b"IHDR"):
        raise UserError("The PNG does not begin with its header: export it again.")
    if not width or not height:
        raise ValueError
    check_size(width, height)
    pixels = _Pixels(width, height, depth, color, interlaced)
    others, is_first = 0, True
    for _ in range(_CHUNKS):
        stream.seek(4, 1)  # the checksum
        head = stream.read(8)
        if len(head) < 8:  # the end is missing; Pillow does not mind
            pixels.finish()
            return ()
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"fdAT"):
            is_first = False
            if length > pixels.most:
                raise excessive("PNG", "a chunk that is longer than its pixels")
            _unpack(stream, length, pixels, skip=_FRAME_NUMBER if name == b"fdAT" else 0)
            continue
        others += length
        if others > _OTHER_BYTES:
            raise excessive("PNG", "32 MB of chunks without pixels")
        data = stream.read(length)
        if name == b"fcTL" and not is_first:  # the first image has the size of the whole
            pixels.finish()
            columns, rows = struct.unpack_from(">II", data, 4)
            if columns > width or rows > height:
                raise UserError("The PNG has an image that is larger than the whole: export it again.")
            pixels = _Pixels(columns, rows, depth, color, interlaced)
        if name == b"IEND":
            pixels.finish()
            return ()
        _check_notes(name, data)
    raise excessive("PNG", f"{_CHUNKS} chunks")


def _unpack(stream: BufferedIOBase, length: int, pixels: _Pixels, skip: int) -> None:
    stream.seek(skip, 1)
    left = length - skip
    while left > 0:
        data = stream.read(min(left, _PIECE))
        if not data:
            raise OSError("the file is truncated")
        pixels.add(data)
        left -= len(data)


def _check_notes(name: bytes, data: bytes) -> None:
    """Check the camera's notes, also those that are written as text, which may be packed."""
    if name == b"eXIf":
        check_exif(data)
    if name not in (b"tEXt", b"zTXt", b"iTXt") or not data.startswith(_NOTES_AS_TEXT):
        return
    text, packed = data.removeprefix(_NOTES_AS_TEXT), b""
    if name == b"zTXt":
        packed = text[1:]
    elif name == b"iTXt" and text[:1] == b"\1":
        packed = text[2:].split(b"\0", 2)[-1]
    size = len(zlib.decompressobj().decompress(packed, _NOTES_BYTES + 1)) if packed else len(text)
    if size > _NOTES_BYTES:
        raise excessive("PNG", "long notes of a camera as text")
