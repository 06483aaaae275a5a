"""Check before decoding what a JPEG announces, and whether it has the data of all its pixels.

libjpeg fills what is missing with grey and only warns; Pillow hides the warning, and accepts the picture. Whether a
decoder runs out of data shows in a comparison: bytes inserted at the end of the data change nothing if the data are
complete, because the decoder skips what follows them. If data are missing, it takes the inserted bytes as pixels.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.structure_errors import POSSIBLY_INCOMPLETE, excessive, incomplete
from bus_lightning.data.structure_tags import EXIF, check_exif

_SCANS = 100  # programs write about 10
_SCANNED_PIXELS = 500_000_000  # scans times pixels: 20 scans of 25 million pixels
_MARKERS = 500_000  # a restart after each block of a picture of 25 million pixels needs 400,000
_HEADER_BYTES = 16_000_000  # of segments such as a colour profile
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_STAND_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a segment
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB)
_PROGRESSIVE, _LOSSLESS, _ARITHMETIC = (0xC2, 0xCA), (0xC3, 0xCB), (0xC9, 0xCA, 0xCB)
_UNSENT = 16  # bits
_ROWS = 256  # that are hashed at a time
_END, _SCAN, _RESTART_INTERVAL, _APP1 = 0xD9, 0xDA, 0xDD, 0xE1
# Never 0xFF, both bits often, and without a period, so that decoding them changes pixels.
_INSERTED = bytes.fromhex("a5 1c d3 6b 47 92 e8 35 7a c9 16 5d b0 8e 29 f4 63 9a 04 d7 3f 81 ec 58")


@dataclass
class _Jpeg:
    """What the markers of a JPEG say."""

    frame: int = 0  # the kind of its only frame header
    size: tuple[int, int] = (0, 0)  # width, height
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)  # component -> horizontal, vertical
    interval: int = 0  # of restarts, in units of a scan
    # (component, coefficient) -> number of its lowest bits that no scan has sent so far
    missing: dict[tuple[int, int], int] = field(default_factory=dict)
    scanned: set[int] = field(default_factory=set)  # components that have a scan
    ends: list[int] = field(default_factory=list)  # byte offsets of markers that follow pixels
    scans: int = 0


def check_jpeg(data: bytes, check_size: Callable[[int, int], None]) -> tuple[str, ...]:
    """Check the first image of a JPEG.

    Args:
        data: The whole file.
        check_size: Raises an error if a width and height are not wanted; it is called before anything is decoded.

    Returns:
        Codes of doubts: `POSSIBLY_INCOMPLETE` if only its last refinements are missing, or no decoder can tell.

    Raises:
        UserError: In one line without the file's name, when it announces too much, or is incomplete.
        Exception: Whatever Pillow raises for a damaged file; IndexError or ValueError for damaged markers.
    """
    jpeg = _walk(data)
    if not all(jpeg.size):
        raise ValueError("no frame header, or one without a size")
    check_size(*jpeg.size)
    if jpeg.frame in _ARITHMETIC:  # its decoder goes on with zeros after the end, in a complete file, too
        return (POSSIBLY_INCOMPLETE,)
    decoded = _decode(data)
    try:
        is_complete = decoded == _decode(_insert(data, jpeg.ends))
    except (OSError, SyntaxError, ValueError):
        is_complete = False
    unsent = {component for component in jpeg.sampling if jpeg.missing.get((component, 0)) == _UNSENT}
    if not is_complete or unsent or jpeg.scanned != set(jpeg.sampling):
        raise incomplete("JPEG")
    return (POSSIBLY_INCOMPLETE,) if any(jpeg.missing.values()) else ()


def _walk(data: bytes) -> _Jpeg:
    """Read the markers up to the end of the first image."""
    jpeg, position, exif, header = _Jpeg(), 2, b"", 0
    for _ in range(_MARKERS):
        match = _MARKER.search(data, position)
        if match is None:
            break
        kind, position = data[match.start() + 1], match.end()
        if kind == _END:
            break
        if kind in _STAND_ALONE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        segment = data[position + 2 : position + length]
        position += max(length, 2)
        if kind == _SCAN:
            position = _read_scan(jpeg, data, segment, position)
            continue
        header += length
        if kind in _FRAMES:
            if jpeg.frame:
                raise excessive("JPEG", "several frames")
            _read_frame(jpeg, kind, segment)
        elif kind == _RESTART_INTERVAL:
            jpeg.interval = int.from_bytes(segment[:2], "big")
        elif kind == _APP1 and segment.startswith(EXIF):
            exif += segment[len(EXIF) :]  # Pillow joins them, too
        if header > _HEADER_BYTES:
            raise excessive("JPEG", "a header of more than 16 MB")
    else:
        raise excessive("JPEG", f"{_MARKERS} markers")
    check_exif(exif)
    return jpeg


def _read_frame(jpeg: _Jpeg, kind: int, segment: bytes) -> None:
    jpeg.frame = kind
    jpeg.size = (int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big"))
    for at in range(6, 6 + 3 * segment[5], 3):
        jpeg.sampling[segment[at]] = (segment[at + 1] >> 4, segment[at + 1] & 15)
    if not all(1 <= side <= 4 for pair in jpeg.sampling.values() for side in pair):
        raise UserError("The JPEG's colours have sizes that no picture has: export it again.")
    if kind in _PROGRESSIVE:
        jpeg.missing = {(component, k): _UNSENT for component in jpeg.sampling for k in range(64)}


def _read_scan(jpeg: _Jpeg, data: bytes, segment: bytes, start: int) -> int:
    """Read the header of a scan, find the ends of its data, and return where the next marker is."""
    jpeg.scans += 1
    most = min(_SCANS, _SCANNED_PIXELS // max(1, jpeg.size[0] * jpeg.size[1]))
    if jpeg.scans > max(1, most):
        raise excessive("JPEG", f"more than {most} scans")
    number = segment[0]
    components = list(segment[1 : 1 + 2 * number : 2])
    if not jpeg.sampling or not components or not set(components) <= set(jpeg.sampling):
        raise UserError("The JPEG has a scan of colours that it does not announce: export it again.")
    first, last, approximation = segment[1 + 2 * number : 4 + 2 * number]
    jpeg.scanned |= set(components)
    for key in jpeg.missing:
        if key[0] in components and first <= key[1] <= last:
            jpeg.missing[key] = approximation & 15
    most = -(-_units(jpeg, components) // jpeg.interval) - 1 if jpeg.interval else 0
    spare = 1 if jpeg.interval else 0  # some cameras write one after the last block
    for restart in range(most + 1 + spare):
        match = _MARKER.search(data, start)
        end = len(data) if match is None else match.start()
        while data[end - 1] == 0xFF:  # bytes that fill the space before a marker
            end -= 1
        jpeg.ends.append(end)
        if match is None or data[match.end() - 1] not in _STAND_ALONE:
            if restart < most:
                raise incomplete("JPEG")
            return end
        if len(jpeg.ends) > _MARKERS:
            raise excessive("JPEG", f"{_MARKERS} markers")
        start = match.end()
    raise UserError("The JPEG has more restart markers than it announces: export it again.")


def _units(jpeg: _Jpeg, components: list[int]) -> int:
    """Count the units of a scan, between which restarts may lie."""
    side = 1 if jpeg.frame in _LOSSLESS else 8
    widest, highest = (max(pair[axis] for pair in jpeg.sampling.values()) for axis in (0, 1))
    across, down = jpeg.sampling[components[0]] if len(components) == 1 else (1, 1)
    number = 1
    for length, factor, largest in zip(jpeg.size, (across, down), (widest, highest), strict=True):
        samples = -(-length * factor // largest) if len(components) == 1 else -(-length // largest)
        number *= -(-samples // side)
    return number


def _insert(data: bytes, ends: list[int]) -> bytes:
    """Insert bytes at each end of the pixels' data."""
    starts = [0, *ends]
    pieces = (data[start:end] for start, end in zip(starts, [*ends, len(data)], strict=True))
    return _INSERTED.join(pieces)


def _decode(data: bytes) -> bytes:
    """Decode, and return a hash of the pixels."""
    with Image.open(BytesIO(data), formats=["JPEG"]) as image:
        return hash_pixels(image)


def hash_pixels(image: Image.Image) -> bytes:
    """Hash the pixels of an image, without a copy of all of them."""
    image.load()
    digest = hashlib.blake2b()
    for top in range(0, image.height, _ROWS):
        digest.update(image.crop((0, top, image.width, min(top + _ROWS, image.height))).tobytes())
    return digest.digest()
