"""Check that a video file is as long as it says: its decoder answers one whose last images are missing."""

import os
from collections.abc import Iterator
from io import BufferedReader

from bus_lightning.core.errors import UserError

_MOST_CHUNKS = 10_000  # at the top of a file; a clip has fewer than ten, and two for each fragment of a stream
_RIFF = (b"RIFF", b"JUNK")  # a long AVI has several of the first
_BOXES = (b"ftyp", b"styp", b"sidx", b"moov", b"moof", b"mfra", b"mdat", b"free", b"skip", b"wide", b"meta", b"udta",
          b"uuid", b"pdin", b"pnot", b"PICT")  # fmt: skip


def check_length(stream: BufferedReader) -> None:
    """Refuse an AVI, MP4 or MOV file that ends before its last chunk does; the position becomes the start.

    A size that is not stated, as in a recording that was not ended properly, says nothing, nor do bytes that are no
    chunk.

    Raises:
        UserError: When the file is too short.
    """
    size = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    is_riff = stream.read(4) == _RIFF[0]
    for end in _riff_ends(stream) if is_riff else _box_ends(stream):
        if end > size:
            raise UserError(
                f"The video is cut off: it has {size} bytes and needs {end} or more. Copy it again, or export it again."
            )
    stream.seek(0)


def _riff_ends(stream: BufferedReader) -> Iterator[int]:
    """Yield where each top chunk of an AVI file ends."""
    start = 0
    for _ in range(_MOST_CHUNKS):
        stream.seek(start)
        head = stream.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] not in _RIFF or length in (0, 0xFFFFFFFF):
            return
        yield start + 8 + length
        start += 8 + length + length % 2


def _box_ends(stream: BufferedReader) -> Iterator[int]:
    """Yield where each top box of an MP4 or MOV file ends (ISO/IEC 14496-12, 4.2)."""
    start = 0
    for _ in range(_MOST_CHUNKS):
        stream.seek(start)
        head = stream.read(16)
        kind, length = head[4:8], int.from_bytes(head[:4], "big")
        if length == 1:  # the length follows in eight bytes
            length = int.from_bytes(head[8:], "big")
        if length < 8 or kind not in _BOXES:
            return
        yield start + length
        start += length
