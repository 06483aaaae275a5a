"""Read the images of a DICOM file, and of its header only what they need: no name, no date, no identifier."""

import os
from collections.abc import Iterator
from io import BufferedReader
from typing import Literal

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
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
from bus_lightning.diagnosis.dicom_values import check_lengths, check_levels, find_spacing
from bus_lightning.diagnosis.frames import Frame, Frames, Limits, damaged, decoding, silence

silence("pydicom")

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_COLORS = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")
_TABLES = [
    f"{kind}{color}PaletteColorLookupTable{part}"
    for color in ("Red", "Green", "Blue")
    for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]
_WANTED = ["Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
           "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", *_TABLES,
           "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
           "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
           "PixelSpacing", "SequenceOfUltrasoundRegions"]  # fmt: skip
_HEADER_BYTES, _HEADER_READS = 16_000_000, 100_000  # an element takes two reads, or three
_UNDEFINED = 0xFFFFFFFF


class _Header:
    """A stream that reads at most as many bytes, and as often, as a header needs."""

    def __init__(self, stream: BufferedReader) -> None:
        self.tell, self.seek, self._read, self._left = stream.tell, stream.seek, stream.read, _HEADER_BYTES
        self._reads, self.excess = _HEADER_READS, ""

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # pydicom reads to the end only if the whole file is deflated, and would inflate without limit
            raise UserError("The DICOM file is deflated as a whole: save it uncompressed.")
        if size > self._left:
            self.excess = "more than 16 MB"
        if not self._reads:
            self.excess = "too many elements or items"
        if self.excess:
            raise UserError(f"The DICOM file has a header of {self.excess}: export it again.")
        self._left -= size
        self._reads -= 1
        return self._read(size)


def read_dicom(stream: BufferedReader, limits: Limits) -> Frames:
    """Read the images of a DICOM file: uncompressed, RLE, JPEG or JPEG 2000; grey, RGB, YBR or palette.

    The first window or table is applied. Without one, white is the highest level of the bit depth that the header
    states, so all frames share one scale. The size of a pixel comes from the ultrasound regions if all regions that
    are images agree, or else from PixelSpacing.

    Raises:
        UserError: When the file is damaged, too large, has no images, or a compression that cannot be decoded.
    """
    with decoding("DICOM file"):
        source = _Header(stream)
        try:
            header = dcmread(source, stop_before_pixels=True, specific_tags=[*_WANTED], defer_size=1_000_000)
        except OSError:  # pydicom replaces an error that a sequence meets
            if source.excess:
                source.read(0)
            raise
        syntax = UID(header.file_meta.get("TransferSyntaxUID", ""))
        vr, length = _read_pixel_element(stream, syntax)
        if syntax not in (*_NATIVE, *BY_PILLOW, RLELossless):  # first: the colours of a video have names of their own
            raise _undecodable(syntax)
        number = _check_header(header, limits)
        if syntax == JPEGExtended12Bit and header.BitsStored > 8:  # Pillow decodes 8 bits
            raise _undecodable(syntax)
        (_check_native if syntax in _NATIVE else _check_fragments)(stream, header, number, length)
        spacing = find_spacing(header)
    return number, _frames(stream, header, number, vr, spacing)


def _undecodable(syntax: UID) -> UserError:
    """Return the error for a compression that cannot be decoded."""
    name = syntax.name if syntax.is_transfer_syntax and not syntax.is_private else "unknown"
    return UserError(f"The DICOM file's compression ({name}) has no decoder: save the file uncompressed.")


def _read_pixel_element(stream: BufferedReader, syntax: UID) -> tuple[str, int]:
    """Read the head of the pixel data, which follow the header: their VR and their length in bytes."""
    order: Literal["big", "little"] = "big" if syntax == ExplicitVRBigEndian else "little"
    group, element = (int.from_bytes(stream.read(2), order) for _ in range(2))
    if (group, element) != (0x7FE0, 0x0010):
        raise UserError("The DICOM file has no images of whole numbers (it may be a report): give one with images.")
    word = stream.read(4)
    if word[:2] in (b"OB", b"OW", b"UN"):
        return word[:2].decode(), int.from_bytes(stream.read(4), order)
    return "OW", int.from_bytes(word, order)  # implicit, even if the file declares explicit VRs


def _check_header(header: Dataset, limits: Limits) -> int:
    """Check what the header says about the images, and return their number."""
    check_lengths(header)
    limits.check_size(int(header.Columns), int(header.Rows))
    number = int(header.get("NumberOfFrames") or 1)
    limits.check_number(number)
    if header.PhotometricInterpretation not in _COLORS or header.SamplesPerPixel not in (1, 3) or number < 1:
        raise damaged("DICOM file")
    if header.BitsAllocated not in (8, 16):
        raise UserError("The DICOM file's levels have neither 8 nor 16 bits: save it with 8.")
    if (header.SamplesPerPixel == 3) != (header.PhotometricInterpretation[:3] in ("RGB", "YBR")):
        raise damaged("DICOM file")
    check_levels(header)
    header.NumberOfFrames = 1  # each image is decoded as if it were a file
    return number


def _frame_bytes(header: Dataset) -> int:
    """Compute the size of an uncompressed image."""
    samples = 2 if header.PhotometricInterpretation == "YBR_FULL_422" else int(header.SamplesPerPixel)
    return int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated) // 8


def _check_native(stream: BufferedReader, header: Dataset, number: int, length: int) -> None:
    needed = number * _frame_bytes(header)
    present = min(length, os.fstat(stream.fileno()).st_size - stream.tell())
    if length == _UNDEFINED:
        raise damaged("DICOM file")
    if present < needed:
        raise UserError(f"The DICOM file is cut off, it has {present} of {needed} bytes: export it again.")


def _check_fragments(stream: BufferedReader, header: Dataset, number: int, length: int) -> None:
    """Skip from fragment to fragment of the compressed data: none may be missing, and there may not be too many."""
    size = os.fstat(stream.fileno()).st_size
    start = stream.tell()
    fragments, total = -1, 0  # -1: the first one is the offset table
    most = number * (2 * _frame_bytes(header) + 100_000)
    while (tag := stream.read(4)) == b"\xfe\xff\x00\xe0":
        fragment = int.from_bytes(stream.read(4), "little")
        fragments, total = fragments + 1, total + fragment
        if stream.tell() + fragment > size:
            break
        if total > most or fragments > 1_000 * number:
            raise damaged("DICOM file")
        stream.seek(fragment, os.SEEK_CUR)
    if length != _UNDEFINED or tag != b"\xfe\xff\xdd\xe0" or fragments < number:
        raise UserError("The DICOM file is cut off or damaged, compressed images are missing: export it again.")
    stream.seek(start)


def _frames(
    stream: BufferedReader, header: Dataset, number: int, vr: str, spacing: tuple[float, float] | None
) -> Iterator[Frame]:
    if header.file_meta.TransferSyntaxUID in _NATIVE:
        size = _frame_bytes(header)
        # An element has an even length.
        images: Iterator[bytes] = (stream.read(size) + bytes(size % 2) for _ in range(number))
    else:
        images = generate_frames(stream, number_of_frames=number)
    for k in range(number):
        with decoding("DICOM file"):
            image, doubts = decode(header, next(images), vr)
        yield Frame(image, k if number > 1 else None, spacing, doubts)
