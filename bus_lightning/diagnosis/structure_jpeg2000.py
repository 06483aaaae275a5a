"""Check before decoding what a JPEG 2000 announces, and whether it has the data of all its pixels.

Tiles, precincts and code blocks are counted before OpenJPEG reserves memory for them. OpenJPEG leaves missing data
black or blurred, so completeness is tested as in `data.structure_jpeg`: bytes inserted at the end of each tile change
pixels only if the tile is incomplete.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

from bus_lightning.data.structure_errors import POSSIBLY_INCOMPLETE, excessive, incomplete
from bus_lightning.data.structure_jpeg import hash_pixels

_NAME = "JPEG 2000"
_START, _END, _TILE_PART, _DATA = 0xFF4F, 0xFFD9, 0xFF90, 0xFF93
_SIZE, _CODING, _CODING_OF_COMPONENT, _PACKED_HEADERS = 0xFF51, 0xFF52, 0xFF53, (0xFF60, 0xFF61)
_COMPONENTS, _SUBSAMPLING, _LEVELS = 4, 4, 16
_TILES, _PIXELS_OF_TILE = 64, 4096  # so many tiles at least, and a tile for so many pixels
_PARTS, _MARKERS = 100_000, 10_000
_BLOCKS = 1_000_000  # precincts and code blocks; a picture of 25 million pixels in blocks of 32 x 32 has 100,000
_PACKETS = 1_000_000  # precincts times layers
# Bytes that read as packets, whatever the packets of the tile are.
_INSERTED = bytes.fromhex(
    "c7d18ba25f3e94b16c0df872e5493ad6a81f5bc2970e6d34fb82461dce795fa0"
    "b3680c95e27d14af5839f1864ec09ad52b7613ec41b8da05976fc3207ae95d8c"
)


@dataclass
class _Picture:
    """What the main header of a code stream says, and where its tile parts are."""

    area: tuple[int, int]  # width, height
    tile: tuple[int, int]
    tiles: int
    sampling: list[tuple[int, int]]  # of each component, across and down
    parts: list[tuple[int, int, int]] = field(default_factory=list)  # byte offsets of start and end, number of the tile
    packed_headers: bool = False
    layers: int = 1
    precincts: int = 1


def check_jpeg_2000(data: bytes, check_size: Callable[[int, int], None]) -> tuple[str, ...]:
    """Check a JPEG 2000, with or without the boxes of a JP2 file.

    Args:
        data: The whole file.
        check_size: Raises an error if a width and height are not wanted; it is called before anything is decoded.

    Returns:
        Codes of doubts: `POSSIBLY_INCOMPLETE` if no decoder can tell.

    Raises:
        UserError: In one line without the file's name, when it announces too much, or is incomplete.
        Exception: Whatever Pillow raises for a damaged file; struct.error or ValueError for damaged markers.
    """
    stream = _code_stream(data)
    picture = _walk(stream, check_size)
    decoded = _decode(stream)
    if picture.packed_headers:  # what follows a tile's data is not read as packets
        return (POSSIBLY_INCOMPLETE,)
    try:
        is_complete = decoded == _decode(_insert(stream, picture))
    except (OSError, SyntaxError, ValueError):
        is_complete = False
    if not is_complete:
        raise incomplete(_NAME)
    return ()


def _code_stream(data: bytes) -> bytes:
    """Take the code stream out of the boxes of a JP2 file."""
    if int.from_bytes(data[:2], "big") == _START:
        return data
    at = 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if name == b"jp2h" and b"pclr" in data[at : at + length]:
            raise excessive(_NAME, "a palette within DICOM")
        if name == b"jp2c":
            return data[at + head : at + length if length else None]
        if length < head:
            break
        at += length
    raise ValueError("no code stream")


def _walk(data: bytes, check_size: Callable[[int, int], None]) -> _Picture:
    """Read the markers of the main header and of all tile parts."""
    picture: _Picture | None = None
    counts: dict[int, int] = {}  # tile -> its number of parts, as announced
    for marker, at, end in _markers(data, 2):
        segment = data[at:end]
        if marker == _SIZE and picture is None:
            picture = _read_size(segment)
            check_size(*picture.area)
        elif picture is None:
            raise ValueError("no size")
        elif marker == _TILE_PART:
            tile, length, _, count = struct.unpack(">HIBB", segment[:8])
            start = at - 4
            stop = start + length if length else _end_of(data)
            if stop > len(data) or stop < start + 14:
                raise incomplete(_NAME)
            picture.parts.append((start, stop, tile))
            counts[tile] = count or counts.get(tile, 0)
            if len(picture.parts) > _PARTS:
                raise excessive(_NAME, f"{_PARTS} parts of tiles")
        else:
            _read_coding(marker, segment, picture)
    if picture is None:
        raise ValueError("no size")
    present = [tile for _, _, tile in picture.parts]
    if set(present) != set(range(picture.tiles)) or any(
        count and count != present.count(tile) for tile, count in counts.items()
    ):
        raise incomplete(_NAME)
    return picture


def _markers(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield each marker with the bounds of its segment's content, and step over the data of the tile parts."""
    part_end = 0
    number = 0
    while at + 2 <= len(data):
        marker = int.from_bytes(data[at : at + 2], "big")
        if marker == _END:
            return
        if marker == _DATA:
            at = part_end
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker < 0xFF00 or end < at + 4:
            if part_end and at == part_end:  # only the end marker is missing
                return
            raise ValueError("no marker")
        if marker == _TILE_PART:
            length = int.from_bytes(data[at + 6 : at + 10], "big")
            part_end = at + length if length else _end_of(data)
            number = 0
        number += 1
        if number > _MARKERS:
            raise excessive(_NAME, f"{_MARKERS} markers")
        yield marker, at + 4, end
        at = end


def _end_of(data: bytes) -> int:
    """Find where the data of the last tile part end that does not state its length."""
    at = data.rfind(b"\xff\xd9", max(0, len(data) - 16))
    return len(data) if at < 0 else at


def _read_size(segment: bytes) -> _Picture:
    _, right, bottom, left, top, across, down, tile_left, tile_top, components = struct.unpack_from(
        ">HIIIIIIIIH", segment
    )
    if not 1 <= components <= _COMPONENTS:
        raise excessive(_NAME, f"{components} colours")
    if not across or not down or right <= left or bottom <= top:
        raise ValueError("no size")
    sampling = [(segment[at + 1], segment[at + 2]) for at in range(36, 36 + 3 * components, 3)]
    if not all(1 <= step <= _SUBSAMPLING for pair in sampling for step in pair):
        raise excessive(_NAME, "coarse colours")
    area = (right - left, bottom - top)
    tiles = -(-(right - tile_left) // across) * -(-(bottom - tile_top) // down)
    if tiles > max(_TILES, area[0] * area[1] // _PIXELS_OF_TILE):
        raise excessive(_NAME, f"{tiles} tiles")
    return _Picture(area, (min(across, area[0]), min(down, area[1])), tiles, sampling)


def _read_coding(marker: int, segment: bytes, picture: _Picture) -> None:
    """Check a segment that says how the picture, a tile or one of its components is coded."""
    if marker in _PACKED_HEADERS:
        picture.packed_headers = True
    if marker not in (_CODING, _CODING_OF_COMPONENT):
        return
    is_own = marker == _CODING_OF_COMPONENT
    style = segment[1] if is_own else segment[0]
    layers = 1 if is_own else int.from_bytes(segment[2:4], "big")
    levels, across, down = segment[2:5] if is_own else segment[5:8]
    if levels > _LEVELS:
        raise excessive(_NAME, f"{levels} resolutions")
    sides = list(segment[7 if is_own else 10 :][: levels + 1]) if style & 1 else [0xFF] * (levels + 1)
    if len(sides) <= levels:
        raise ValueError("precincts are missing")
    blocks, precincts = 0, 0
    for level, side in enumerate(sides):
        for step in picture.sampling:
            shape = [-(-length // (part << (levels - level))) for length, part in zip(picture.tile, step, strict=True)]
            exponents = (side & 15, side >> 4)
            number = _cover(shape, exponents)
            precincts += number
            if number:
                smaller = 1 if level else 0  # the bands of a level have half its size
                inner = [min(code + 2, max(exponent - smaller, 0))
                         for code, exponent in zip((across & 15, down & 15), exponents, strict=True)]  # fmt: skip
                bands = [-(-length >> smaller) for length in shape]
                blocks += (3 if level else 1) * max(number, _cover(bands, inner))
    picture.layers, picture.precincts = max(picture.layers, layers), max(picture.precincts, precincts)
    packets = picture.precincts * picture.tiles * picture.layers
    if (blocks + precincts) * picture.tiles > _BLOCKS or packets > _PACKETS:
        raise excessive(_NAME, "millions of blocks and layers")


def _cover(shape: list[int], exponents: tuple[int, int] | list[int]) -> int:
    """Count the rectangles with sides that are powers of two, by their exponents, that cover a shape."""
    across, down = (-(-length >> exponent) for length, exponent in zip(shape, exponents, strict=True))
    return across * down


def _insert(data: bytes, picture: _Picture) -> bytes:
    """Insert bytes at the end of the last part of each tile."""
    last = {tile: start for start, _, tile in picture.parts}
    pieces = [data[: picture.parts[0][0]]]
    for start, end, tile in picture.parts:
        inserted = _INSERTED if last[tile] == start else b""
        length = (end - start + len(inserted)).to_bytes(4, "big")
        pieces += [data[start : start + 6], length, data[start + 10 : end], inserted]
    return b"".join([*pieces, _END.to_bytes(2, "big")])


def _decode(data: bytes) -> bytes:
    """Decode, and return a hash of the pixels."""
    with Image.open(BytesIO(data), formats=["JPEG2000"]) as image:
        return hash_pixels(image)
