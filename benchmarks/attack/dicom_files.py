"""DICOM files, written by hand so that a header can claim anything."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

_UNDEFINED = 0xFFFFFFFF
_LONG = ("OB", "OW", "SQ", "UN", "UT")
NATIVE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
JPEG, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91"
_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
Element = tuple[int, str, bytes]  # tag, VR, value
_TEXT = 16  # characters of a number written as text: a change does not move what follows


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Write an element in explicit VR, little endian."""
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in _LONG:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def numbers(*values: int, code: str = "H") -> bytes:
    """Pack unsigned numbers: H 16 bits, I 32 bits, d floating point."""
    return struct.pack(f"<{len(values)}{code}", *values)


def text(*values: object) -> bytes:
    """Write numbers as DICOM's texts, each padded."""
    return b"\\".join(str(value).ljust(_TEXT).encode() for value in values)


def sequence(tag: int, items: list[list[Element]]) -> bytes:
    """Write a sequence of items."""
    content = b""
    for item in items:
        inner = b"".join(element(*part) for part in item)
        content += struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    return element(tag, "SQ", content)


def region(units: int = 3, spacing: float = 0.01, **place: int) -> list[Element]:
    """Describe an ultrasound region: its units (3 are centimetres), centimetres per pixel, and its place."""
    corners = {"left": 0, "top": 0, "right": 100, "bottom": 100} | place
    return [
        (0x00186012, "US", numbers(1)), (0x00186014, "US", numbers(1)), (0x00186016, "UL", numbers(0, code="I")),
        *((0x00186018 + 2 * k, "UL", numbers(value, code="I")) for k, value in enumerate(corners.values())),
        (0x00186024, "US", numbers(units)), (0x00186026, "US", numbers(units)),
        (0x0018602C, "FD", struct.pack("<d", spacing)), (0x0018602E, "FD", struct.pack("<d", spacing)),
    ]  # fmt: skip


def dicom(
    rows: int,
    columns: int,
    pixels: bytes | list[bytes],
    syntax: str = NATIVE,
    depth: int = 8,
    regions: list[list[Element]] | None = None,
    changes: dict[int, tuple[str, bytes]] | None = None,
) -> bytes:
    """Write an ultrasound image.

    Args:
        rows: Height that the header states.
        columns: Width.
        pixels: The pixel data, or the compressed frames.
        syntax: The transfer syntax.
        depth: Bits per sample.
        regions: Ultrasound regions.
        changes: Tag -> VR and value of further or other elements of the header.
    """
    meta = element(0x00020010, "UI", syntax.encode())
    meta = element(0x00020000, "UL", numbers(len(meta), code="I")) + meta
    usual: dict[int, tuple[str, bytes]] = {
        0x00080016: ("UI", _ULTRASOUND.encode()), 0x00280002: ("US", numbers(1)), 0x00280004: ("CS", b"MONOCHROME2 "),
        0x00280010: ("US", numbers(rows)), 0x00280011: ("US", numbers(columns)),
        0x00280030: ("DS", text(0.1, 0.1)), 0x00280100: ("US", numbers(depth)), 0x00280101: ("US", numbers(depth)),
        0x00280102: ("US", numbers(depth - 1)), 0x00280103: ("US", numbers(0)),
        0x00281050: ("DS", text(2 ** (depth - 1))), 0x00281051: ("DS", text(2**depth)),
        0x00281052: ("DS", text(0)), 0x00281053: ("DS", text(1)),
    }  # fmt: skip
    parts = {tag: element(tag, *value) for tag, value in (usual | (changes or {})).items()}
    if regions:
        parts[0x00186011] = sequence(0x00186011, regions)
    header = b"".join(parts[tag] for tag in sorted(parts))
    return bytes(128) + b"DICM" + meta + header + _pixel_data(pixels, depth)


def _pixel_data(pixels: bytes | list[bytes], depth: int) -> bytes:
    if isinstance(pixels, bytes):
        return element(0x7FE00010, "OB" if depth == 8 else "OW", pixels)
    items = [b"", *(frame + b"\0" * (len(frame) % 2) for frame in pixels)]  # the first is an empty table of offsets
    content = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED)
    return head + content + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def run_lengths(plane: bytes) -> bytes:
    """Encode a plane of bytes as RLE, without any run."""
    packed = b"".join(bytes([len(plane[k : k + 128]) - 1]) + plane[k : k + 128] for k in range(0, len(plane), 128))
    return struct.pack("<16I", 1, 64, *[0] * 14) + packed


def codestream(grey: np.ndarray) -> bytes:
    """Encode an image as JPEG 2000, without a container."""
    stream = BytesIO()
    Image.fromarray(grey).save(stream, "JPEG2000", no_jp2=True)
    return stream.getvalue()


def dicom_files(grey: np.ndarray) -> dict[str, bytes]:
    """Write an image as DICOM in every supported way: file name -> content."""
    rows, columns = grey.shape
    jpeg = BytesIO()
    Image.fromarray(grey).save(jpeg, "JPEG")
    table = numbers(*(257 * k for k in range(256)))
    palette = {0x00280004: ("CS", b"PALETTE COLOR ")}
    palette |= {0x00281101 + k: ("US", numbers(256, 0, 16)) for k in range(3)}
    palette |= {0x00281201 + k: ("OW", table) for k in range(3)}
    several = {0x00280008: ("IS", b"3".ljust(_TEXT))}
    deep = grey.astype("<u2") * 257
    return {
        "native.dcm": dicom(rows, columns, grey.tobytes(), regions=[region()]),
        "deep.dcm": dicom(rows, columns, deep.tobytes(), depth=16),
        "frames.dcm": dicom(rows, columns, grey.tobytes() * 3, changes=several),
        "palette.dcm": dicom(rows, columns, grey.tobytes(), changes=palette),
        "rle.dcm": dicom(rows, columns, [run_lengths(grey.tobytes())], RLE),
        "jpeg.dcm": dicom(rows, columns, [jpeg.getvalue()], JPEG, regions=[region()]),
        "jpeg2000.dcm": dicom(rows, columns, [codestream(grey)], JPEG_2000),
    }
