"""Judge the values of a DICOM header before they are used: their length, what they do to the levels, the spacing."""

import math
import struct
from collections.abc import Sequence

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import damaged

_SHORT = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
          "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
          "WindowCenter", "WindowWidth", "VOILUTFunction")  # fmt: skip
_SHORT_BYTES = 2_000  # of windows for fifty views; pydicom makes an object of each number
_SPACING_BYTES, _REGION_BYTES, _REGIONS = 64, 64_000, 100  # of real files: 10 to 30, 300 each, up to 8
_PLANE, _CENTIMETRES = 1, 3  # of an ultrasound region: its spatial format, its physical units
_PLAUSIBLE_MM = (0.001, 10.0)
_SLOPES = (1e-9, 1e9)  # of a rescaling, without its sign
_LEAST_SHARE = 1 / 64  # of a window's width that the levels fill: they would be four greys
_TABLE_ENTRIES = 2**16
_COLORS = ("Red", "Green", "Blue")


def check_lengths(header: Dataset) -> None:
    """Check that no value is so long that reading it would take much time or memory.

    Raises:
        UserError: In one line without the file's name.
    """
    if any(_length(header, keyword) > _SHORT_BYTES for keyword in _SHORT):
        raise damaged("DICOM file")
    for color in _COLORS:
        keyword = f"Segmented{color}PaletteColorLookupTableData"
        if keyword in header:
            bits = int(header.RedPaletteColorLookupTableDescriptor[2])
            data = bytes(header[keyword].value)
            order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
            kind, size = ("B", 1) if bits == 8 else ("H", 2)
            if (order, bits) == (">", 8):  # the order of its offsets differs
                raise damaged("DICOM file")
            _count_entries(struct.unpack(f"{order}{len(data) // size}{kind}", data[: len(data) // size * size]), bits)


def check_levels(header: Dataset) -> None:
    """Check that the header's rescaling and window can show the levels that it announces.

    Raises:
        UserError: In one line without the file's name.
    """
    if header.SamplesPerPixel != 1 or header.PhotometricInterpretation == "PALETTE COLOR":
        return
    slope, intercept = (
        default if (value := header.get(keyword)) is None else float(value)
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if not (math.isfinite(intercept) and _SLOPES[0] <= abs(slope) <= _SLOPES[1]):
        raise UserError("The DICOM file has a rescaling without a meaning (0 or infinite): save it as a PNG of 8 bits.")
    if header.get("VOILUTSequence") or (window := find_window(header)) is None:
        return
    center, width = window
    if header.get("ModalityLUTSequence"):
        low, high = 0.0, 2.0**16
    else:
        span = 2.0 ** int(header.BitsStored)
        lowest = -span / 2 if header.PixelRepresentation else 0.0
        low, high = sorted((slope * lowest + intercept, slope * (lowest + span) + intercept))
    half = width / 2
    if center + half < low or center - half > high or high - low < width * _LEAST_SHARE:
        raise UserError("The DICOM file has a window that shows none of its levels: save it as a PNG of 8 bits.")


def find_window(header: Dataset) -> tuple[float, float] | None:
    """Find the center and width of the first window; None without one.

    Raises:
        UserError: In one line without the file's name, if it is not a window.
    """
    if header.get("WindowCenter") is None or header.get("WindowWidth") is None:
        return None
    center, width = (float(np.ravel(header[keyword].value)[0]) for keyword in ("WindowCenter", "WindowWidth"))
    if not (math.isfinite(center) and width > 0 and math.isfinite(width)):
        raise damaged("DICOM file")
    return center, width


def find_spacing(header: Dataset) -> tuple[float, float] | None:
    """Find the height and width of a pixel in millimetres; None if the header is silent, odd or contradicts itself."""
    try:
        sizes = _sizes(header)
    except Exception:  # odd values make pydicom raise anything; the image is of use without its spacing
        return None
    low, high = _PLAUSIBLE_MM
    if not sizes or not all(low <= side <= high for size in sizes for side in size):
        return None
    return sizes[0] if np.allclose(sizes, sizes[0], rtol=0.01, atol=0) else None


def _sizes(header: Dataset) -> list[tuple[float, float]]:
    """Read the size of a pixel in each ultrasound region that is an image, or else of the whole image."""
    if _length(header, "SequenceOfUltrasoundRegions") > _REGION_BYTES:
        return []
    regions = header.get("SequenceOfUltrasoundRegions") or ()
    if len(regions) > _REGIONS:
        return []
    sizes = [
        (abs(_number(region, "PhysicalDeltaY")) * 10, abs(_number(region, "PhysicalDeltaX")) * 10)
        for region in regions
        if region.get("RegionSpatialFormat") == _PLANE
        and region.get("PhysicalUnitsXDirection") == _CENTIMETRES == region.get("PhysicalUnitsYDirection")
        and "PhysicalDeltaX" in region
        and "PhysicalDeltaY" in region
    ]
    if not sizes and _length(header, "PixelSpacing") <= _SPACING_BYTES and header.get("PixelSpacing"):
        height, width = header.PixelSpacing
        sizes = [(float(height), float(width))]
    return sizes


def _number(item: Dataset, keyword: str) -> float:
    if _length(item, keyword) > _SPACING_BYTES:
        raise ValueError
    return float(item[keyword].value)


def _length(item: Dataset, keyword: str) -> int:
    """Return the length of a value in bytes, without converting it; 0 if it is missing or has been converted."""
    element = item.get_item(keyword)
    return element.length if isinstance(element, RawDataElement) else 0


def _count_entries(values: Sequence[int], bits: int, segments: int | None = None, depth: int = 0) -> int:
    """Count the entries of a palette that is written in segments (DICOM PS3.3, C.7.9.2), without making them."""
    total, at, number = 0, 0, 0
    while at + 1 < len(values) and number != segments:
        kind, length = values[at], values[at + 1]
        number, at = number + 1, at + 2
        if kind == 0:  # the entries themselves
            total, at = total + length, at + length
        elif kind == 1:  # a line to the next value
            total, at = total + length, at + 1
        elif kind == 2 and depth == 0:  # earlier segments once more
            words = values[at : at + (4 if bits == 8 else 2)]
            start = sum(word << (bits * k) for k, word in enumerate(words))
            total, at = total + _count_entries(values[start:], bits, length or None, depth + 1), at + len(words)
        else:
            raise damaged("DICOM file")
        if total > _TABLE_ENTRIES:
            raise damaged("DICOM file")
    return total
