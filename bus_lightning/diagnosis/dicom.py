"""Read the pictures of a DICOM file, and of its header only what they need: no name, no date, no number."""

import os
from collections.abc import Iterator
from io import BufferedReader
from typing import Literal

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
)

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.dicom_pixels import BY_PILLOW, decode
from bus_lightning.diagnosis.frames import Frame, Limits, check_number, check_size, damaged, decoding, silence

silence("pydicom")

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_COLORS = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")
_TABLES = [
    f"{kind}{color}PaletteColorLookupTable{part}"
    for color in ("Red", "Green", "Blue")
    for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]
_WANTED = [
    Tag(keyword)
    for keyword in (
        *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", *_TABLES),
        *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
        *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
        *("PixelSpacing", "SequenceOfUltrasoundRegions"),
    )
]
_HEADER_BYTES = 16_000_000
_UNDEFINED = 0xFFFFFFFF
_PLANE, _CENTIMETRES = 1, 3  # of an ultrasound region: its spatial format, its physical units
_PLAUSIBLE_MM = (0.001, 10.0)


class _Header:
    """A stream that gives out no more than a header needs."""

    def __init__(self, stream: BufferedReader) -> None:
        self.tell, self.seek, self._read, self._left = stream.tell, stream.seek, stream.read, _HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # pydicom reads to the end only where all is deflated, and would inflate without limit
            raise UserError("The DICOM file is deflated as a whole: save it uncompressed.")
        if size > self._left:
            raise UserError("The DICOM file has a header of more than 16 MB: export it anew.")
        self._left -= size
        return self._read(size)


def read_dicom(stream: BufferedReader, limits: Limits) -> tuple[int, Iterator[Frame]]:
    """Read the pictures of a DICOM file.

    Uncompressed, RLE, JPEG and JPEG 2000; MONOCHROME1 and 2, RGB, YBR and palettes. The first window or table is
    applied if there is one; otherwise white is the highest level of the bit depth that the header states, so that all
    frames of a file are on one scale.
    The spacing is that of the ultrasound regions, where all that are pictures agree, or PixelSpacing.

    Args:
        stream: The file, open at its start.
        limits: What is read at most.

    Returns:
        Number of pictures, and an iterator that decodes one after another.

    Raises:
        UserError: When the file is damaged, too large, has no pictures, or no decoder is there for them.
    """
    with decoding("DICOM file"):
        header = dcmread(_Header(stream), stop_before_pixels=True, specific_tags=list(_WANTED), defer_size=1_000_000)
        syntax = UID(header.file_meta.get("TransferSyntaxUID", ""))
        vr, length = _pixel_element(stream, syntax)
        number = _check_header(header, limits)
        deep = syntax == JPEGExtended12Bit and header.BitsStored > 8  # Pillow decodes 8 bits
        if deep or syntax not in (*_NATIVE, *BY_PILLOW, RLELossless):
            name = syntax.name if syntax.is_transfer_syntax and not syntax.is_private else "unknown"
            raise UserError(f"The DICOM file's compression ({name}) has no decoder here: save it uncompressed.")
        native = syntax in _NATIVE
        start = stream.tell()
        if native:
            _check_native(stream, header, number, length)
        else:
            _check_fragments(stream, header, number, length)
        spacing = _spacing(header)
    return number, _frames(stream, start, header, number, native, vr, spacing)


def _pixel_element(stream: BufferedReader, syntax: UID) -> tuple[str, int]:
    """Read the start of the pixel data, at which the header ended: its kind and its length in bytes."""
    order: Literal["big", "little"] = "big" if syntax == ExplicitVRBigEndian else "little"
    group, element = (int.from_bytes(stream.read(2), order) for _ in range(2))
    if (group, element) != (0x7FE0, 0x0010):
        raise UserError("The DICOM file has no pictures of whole numbers (it may be a report): give one with pictures.")
    word = stream.read(4)
    if word[:2] in (b"OB", b"OW", b"UN"):
        return word[:2].decode(), int.from_bytes(stream.read(4), order)
    return "OW", int.from_bytes(word, order)  # implicit, as some files are although they say otherwise


def _check_header(header: Dataset, limits: Limits) -> int:
    """Check what the header says of the pictures, and return their number."""
    check_size(int(header.Columns), int(header.Rows), limits)
    number = int(header.get("NumberOfFrames") or 1)
    check_number(number, limits)
    if header.PhotometricInterpretation not in _COLORS or header.SamplesPerPixel not in (1, 3) or number < 1:
        raise damaged("DICOM file")
    if header.BitsAllocated not in (8, 16):
        raise UserError("The DICOM file's levels have neither 8 nor 16 bits: save it with 8.")
    if (header.SamplesPerPixel == 3) != (header.PhotometricInterpretation[:3] in ("RGB", "YBR")):
        raise damaged("DICOM file")
    header.NumberOfFrames = 1  # each picture is decoded as a file of its own
    return number


def _frame_bytes(header: Dataset) -> int:
    """Size of a picture that is not compressed."""
    samples = 2 if header.PhotometricInterpretation == "YBR_FULL_422" else int(header.SamplesPerPixel)
    return int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated) // 8


def _check_native(stream: BufferedReader, header: Dataset, number: int, length: int) -> None:
    needed = number * _frame_bytes(header)
    here = os.fstat(stream.fileno()).st_size - stream.tell()
    if length == _UNDEFINED:
        raise damaged("DICOM file")
    if min(length, here) < needed:
        raise UserError(f"The DICOM file is cut off, it has {min(length, here)} of {needed} bytes: export it anew.")


def _check_fragments(stream: BufferedReader, header: Dataset, number: int, length: int) -> None:
    """Walk over the compressed pieces, without reading them, and see that none is missing and none is too much."""
    size = os.fstat(stream.fileno()).st_size
    start = stream.tell()
    pieces, total, most = -1, 0, number * (2 * _frame_bytes(header) + 100_000)  # -1: the first is the offset table
    while (tag := stream.read(4)) == b"\xfe\xff\x00\xe0":
        piece = int.from_bytes(stream.read(4), "little")
        pieces, total = pieces + 1, total + piece
        if stream.tell() + piece > size:
            break
        if total > most or pieces > 1_000 * number:
            raise damaged("DICOM file")
        stream.seek(piece, os.SEEK_CUR)
    if length != _UNDEFINED or tag != b"\xfe\xff\xdd\xe0" or pieces < number:
        raise UserError("The DICOM file is cut off or damaged, compressed pictures are missing: export it anew.")
    stream.seek(start)


def _frames(
    stream: BufferedReader,
    start: int,
    header: Dataset,
    number: int,
    native: bool,
    vr: str,
    spacing: tuple[float, float] | None,
) -> Iterator[Frame]:
    frames = _native_frames(stream, start, header) if native else generate_frames(stream, number_of_frames=number)
    for k in range(number):
        with decoding("DICOM file"):
            image = decode(header, next(frames), vr)
        yield Frame(image, k if number > 1 else None, spacing)


def _native_frames(stream: BufferedReader, start: int, header: Dataset) -> Iterator[bytes]:
    size = _frame_bytes(header)
    stream.seek(start)
    while True:
        data = stream.read(size)
        yield data + bytes(size % 2)  # an element has an even length


def _spacing(header: Dataset) -> tuple[float, float] | None:
    """Height and width of a pixel in millimetres, where the header says it without contradiction."""
    found = [
        (abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10)
        for region in header.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionSpatialFormat") == _PLANE
        and region.get("PhysicalUnitsXDirection") == _CENTIMETRES == region.get("PhysicalUnitsYDirection")
        and "PhysicalDeltaX" in region
        and "PhysicalDeltaY" in region
    ]
    if not found and header.get("PixelSpacing"):
        height, width = header.PixelSpacing
        found = [(float(height), float(width))]
    low, high = _PLAUSIBLE_MM
    if not found or not all(low <= side <= high for sides in found for side in sides):
        return None
    agree = all(np.allclose(sides, found[0], rtol=0.01, atol=0) for sides in found)
    return found[0] if agree else None
