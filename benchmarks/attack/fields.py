"""Where the headers of each format hold numbers: sizes, counts, offsets, depths."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_DEEPEST = 6  # boxes within boxes
_WORDS = 24  # of a box or chunk that are taken for numbers
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
_LISTS = (b"RIFF", b"LIST")
_SEQUENCE_ITEM = 0xFFFEE000
_BINARY = {"US": 2, "SS": 2, "UL": 4, "FD": 8}
_SIZED = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")


@dataclass(frozen=True)
class Field:
    """A number in a header.

    Attributes:
        name: What it says, for the list of what was tried.
        start: Byte offset.
        size: Bytes.
        order: little, big, or text for digits.
    """

    name: str
    start: int
    size: int
    order: str


def find_fields(name: str, data: bytes) -> list[Field]:
    """List the numbers in the header of an intact file; the file's extension tells the format."""
    fields = [field for field in _READERS[name.rpartition(".")[2]](data) if field.start + field.size <= len(data)]
    if not fields:
        raise ValueError(f"{name} has no field")
    return fields


def mend(name: str, data: bytearray) -> None:
    """Compute the checksums of a changed file again, so that the change itself reaches the reader."""
    if not name.endswith(".png"):
        return
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            return
        sum_at = at + 8 + length
        data[sum_at : sum_at + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : sum_at]))
        at = sum_at + 4


def _png(data: bytes) -> Iterator[Field]:
    at = 8
    yield from (Field(f"IHDR {k}", 16 + 4 * k, 4, "big") for k in range(2))
    yield from (Field(f"IHDR {k}", 22 + k, 1, "big") for k in range(2, 7))
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode("latin-1")
        yield Field(f"length of {kind}", at, 4, "big")
        if kind in ("acTL", "fcTL"):
            yield from (Field(f"{kind} {k}", at + 8 + 4 * k, 4, "big") for k in range(length // 4))
        at += 12 + length


def _jpeg(data: bytes, start: int = 0) -> Iterator[Field]:
    at = start + 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        name = marker.hex()
        yield Field(f"length of {name}", at + 2, 2, "big")
        if marker in _SIZED:
            yield Field("precision", at + 4, 1, "big")
            yield from (Field(side, at + 5 + 2 * k, 2, "big") for k, side in enumerate(("height", "width")))
            yield from (Field(f"components {k}", at + 9 + k, 1, "big") for k in range(4))
        elif marker in (b"\xff\xda", b"\xff\xdd", b"\xff\xdb", b"\xff\xc4"):  # scan, restarts, tables
            yield from (Field(f"{name} {k}", at + 4 + k, 1, "big") for k in range(min(length - 2, 10)))
        at += 2 + length
        if marker == b"\xff\xda":  # to the next marker that is no part of the scan
            while at + 1 < len(data) and not (data[at] == 0xFF and data[at + 1] not in (0, *range(0xD0, 0xD8))):
                at += 1


def _bmp(data: bytes) -> Iterator[Field]:
    places = {"file size": (2, 4), "data offset": (10, 4), "header size": (14, 4), "width": (18, 4),
              "height": (22, 4), "planes": (26, 2), "bits": (28, 2), "compression": (30, 4), "data size": (34, 4),
              "colours": (46, 4), "important colours": (50, 4)}  # fmt: skip
    return (Field(name, start, size, "little") for name, (start, size) in places.items())


def _tif(data: bytes) -> Iterator[Field]:
    big = data[2] == 43
    width, entry, counted = (8, 20, 8) if big else (4, 12, 2)
    start = 8 if big else 4
    yield Field("first page", start, width, "little")
    at = int.from_bytes(data[start : start + width], "little")
    for page in range(8):
        if not 0 < at < len(data) - counted:
            return
        number = int.from_bytes(data[at : at + counted], "little")
        yield Field(f"page {page}: entries", at, counted, "little")
        for k in range(number):
            place = at + counted + entry * k
            tag = int.from_bytes(data[place : place + 2], "little")
            parts = {"tag": (0, 2), "type": (2, 2), "count": (4, width), "value": (4 + width, width)}
            for name, (offset, size) in parts.items():
                yield Field(f"page {page}: {name} of {tag}", place + offset, size, "little")
        following = at + counted + entry * number
        yield Field(f"page {page}: next page", following, width, "little")
        at = int.from_bytes(data[following : following + width], "little")


def _dcm(data: bytes) -> Iterator[Field]:
    yield from _elements(data, 132, len(data))
    if (at := data.find(b"\xff\x4f\xff\x51")) > 0:
        yield from _codestream(data, at)
    elif (at := data.find(b"\xff\xd8\xff")) > 0:
        yield from _jpeg(data, at)


def _elements(data: bytes, at: int, end: int) -> Iterator[Field]:
    """Walk over elements in explicit VR, and over the items of sequences."""
    while at + 8 <= end:
        group, number = struct.unpack_from("<HH", data, at)
        name, vr = f"{group:04x},{number:04x}", data[at + 4 : at + 6].decode("latin-1")
        if (group << 16) + number == _SEQUENCE_ITEM:
            yield Field("length of an item", at + 4, 4, "little")
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            yield from _elements(data, at + 8, at + 8 + length)
            at += 8 + length
            continue
        start, size = (8, 4) if vr in ("OB", "OW", "SQ", "UN") else (6, 2)
        length = int.from_bytes(data[at + start : at + start + size], "little")
        yield Field(f"length of {name}", at + start, size, "little")
        value = at + start + size
        if length == 0xFFFFFFFF or group == 0x7FE0:
            return
        if vr in _BINARY:
            for k in range(length // _BINARY[vr]):
                yield Field(name, value + k * _BINARY[vr], _BINARY[vr], "little")
        elif vr in ("DS", "IS"):
            yield Field(name, value, length, "text")
        elif vr == "SQ":
            yield from _elements(data, value, value + length)
        at = value + length


def _codestream(data: bytes, at: int) -> Iterator[Field]:
    """List the sizes, tiles, components, levels and layers of a JPEG 2000."""
    yield from (Field(f"SIZ {k}", at + 8 + 4 * k, 4, "big") for k in range(8))
    yield Field("components", at + 40, 2, "big")
    if (coding := data.find(b"\xff\x52", at)) > 0:
        yield Field("layers", coding + 6, 2, "big")
        yield from (Field(f"COD {k}", coding + k, 1, "big") for k in (4, 5, 8, 9, 10, 11, 12))


def _mp4(data: bytes) -> Iterator[Field]:
    yield from _boxes(data, 0, len(data), 0)


def _boxes(data: bytes, at: int, end: int, depth: int) -> Iterator[Field]:
    while at + 8 <= end and depth < _DEEPEST:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield Field(f"size of {kind.decode('latin-1')}", at, 4, "big")
        if kind in _CONTAINERS:
            yield from _boxes(data, at + 8, at + length, depth + 1)
        elif kind not in (b"mdat", b"free", b"ftyp"):
            words = min((length - 8) // 4, _WORDS)
            yield from (Field(f"{kind.decode('latin-1')} {k}", at + 8 + 4 * k, 4, "big") for k in range(words))
        if length < 8:
            return
        at += length


def _avi(data: bytes) -> Iterator[Field]:
    yield from _chunks(data, 0, len(data))


def _chunks(data: bytes, at: int, end: int) -> Iterator[Field]:
    while at + 8 <= end:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield Field(f"size of {kind.decode('latin-1')}", at + 4, 4, "little")
        if kind in _LISTS and data[at + 8 : at + 12] != b"movi":
            yield from _chunks(data, at + 12, at + 8 + length)
        elif kind in (b"avih", b"strh", b"strf", b"idx1"):
            words = min(length // 4, _WORDS)
            yield from (Field(f"{kind.decode()} {k}", at + 8 + 4 * k, 4, "little") for k in range(words))
        at += 8 + length + length % 2


_READERS: dict[str, Callable[[bytes], Iterator[Field]]] = {
    "png": _png, "jpg": _jpeg, "bmp": _bmp, "tif": _tif, "dcm": _dcm, "mp4": _mp4, "avi": _avi,
}  # fmt: skip
