"""Decode one image of a DICOM file to RGB."""

import struct
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_rescale
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

from bus_lightning.core.errors import UserError
from bus_lightning.data.levels import strips, to_8_bits
from bus_lightning.data.structure_jpeg import check_jpeg
from bus_lightning.diagnosis.dicom_values import find_window
from bus_lightning.diagnosis.frames import FEW_LEVELS, damaged
from bus_lightning.diagnosis.structure_jpeg2000 import check_jpeg_2000

_MANY_LEVELS, _LOST = 16, 8  # stored levels; stored levels for each grey that is shown
BY_PILLOW = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEG2000Lossless)


def decode(header: Dataset, data: bytes, vr: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode the data of one image; `vr` is OB or OW. The header's pixel data are replaced.

    Returns:
        (H, W, 3) uint8, RGB; codes of doubts about the image.

    Raises:
        UserError: When the image is not the one that the header announces, is incomplete, or its levels have no
            meaning.
    """
    doubts: tuple[str, ...] = ()
    syntax = header.file_meta.TransferSyntaxUID
    kind = str(header.PhotometricInterpretation)
    if syntax == RLELossless:
        levels = _stored(_decode_rle(data, header), header)
    else:
        if syntax in BY_PILLOW:
            doubts = _check_inner(data, header)
            data = encapsulate([data])
        header.add_new(0x7FE00010, vr, data)
        # `_stored` removes the unused bits, because pydicom ignores HighBit.
        options: Any = {"raw": True, "correct_unused_bits": False}
        levels, properties = get_decoder(syntax).as_array(header, index=0, **options)
        del header[0x7FE00010], data
        levels = _stored(levels, header, lowest=0 if syntax in BY_PILLOW else None)
        kind = str(properties["photometric_interpretation"])
    if kind == "PALETTE COLOR":
        colors = apply_color_lut(levels, header)
        return np.ascontiguousarray(to_8_bits(colors, int(header.RedPaletteColorLookupTableDescriptor[2]))), doubts
    if header.SamplesPerPixel == 3:
        colors = to_8_bits(levels, int(header.BitsStored))
        if kind.startswith("YBR_FULL"):
            colors = colors.copy()
            for rows in strips(len(colors)):
                colors[rows] = np.asarray(Image.fromarray(colors[rows], "YCbCr").convert("RGB"))
        return np.ascontiguousarray(colors), doubts
    low, high = int(levels.min()), int(levels.max())
    table = _shown(np.arange(low, high + 1, dtype=levels.dtype), header)
    if kind == "MONOCHROME1":
        table = 255 - table
    occurs = np.zeros(len(table), bool)
    rgb = np.empty((*levels.shape, 3), np.uint8)
    for rows in strips(len(levels)):
        numbers = levels[rows].astype(np.int32) - low
        occurs[numbers] = True
        rgb[rows] = table[numbers][..., None]
    if _loses_levels(table, occurs):
        doubts = (*doubts, FEW_LEVELS)
    return rgb, doubts


def _loses_levels(table: np.ndarray, occurs: np.ndarray) -> bool:
    """Check whether the levels that occur are shown as far fewer greys."""
    stored = int(np.count_nonzero(occurs))
    return stored >= _MANY_LEVELS and _LOST * len(np.unique(table[occurs])) < min(stored, 256)


def _stored(levels: np.ndarray, header: Dataset, lowest: int | None = None) -> np.ndarray:
    """Keep the stored bits of each level, from bit `lowest` (default: the header's); others may hold an overlay."""
    stored = int(header.BitsStored)
    if lowest is None:
        lowest = int(header.get("HighBit", stored - 1)) + 1 - stored
    width = 8 * levels.dtype.itemsize
    if not (stored > 0 and 0 <= lowest <= width - stored):
        raise damaged("DICOM file")
    if stored == width:
        return levels
    shifted = levels << (width - stored - lowest)
    shifted >>= width - stored  # for signed levels, shifting back extends the sign
    return np.asarray(shifted)


# pydicom's `apply_windowing` and `apply_voi` are not used: a window of one level loses its middle grey, a window
# narrower than a level and an unknown function raise errors, and tables of 8-bit entries wrap around.


def _shown(levels: np.ndarray, header: Dataset) -> np.ndarray:
    """Map each level (N,) to uint8 by the header's first table or window (DICOM PS3.3, C.11.2.1)."""
    if header.get("VOILUTSequence"):
        table = header.VOILUTSequence[0]
        return to_8_bits(_look_up(_measured(levels, header), table, header), int(table.LUTDescriptor[2]))
    if (window := find_window(header)) is None:
        return _shown_whole(levels, header)
    center, width = window
    values = _measured(levels, header)
    function = header.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        shown = 1 / (1 + np.exp(-4 * (values - center) / width))
    elif function == "LINEAR_EXACT":
        shown = (values - center) / width + 0.5
    else:
        shown = (values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)


def _shown_whole(levels: np.ndarray, header: Dataset) -> np.ndarray:
    """Map each level (N,) to uint8 without a window: 0 is black, the highest level of the stated depth is white."""
    if levels[0] < 0:
        raise UserError("The DICOM file has levels below 0 and no window: save it with 8 bits.")
    if header.get("ModalityLUTSequence"):
        table = header.ModalityLUTSequence[0]
        return to_8_bits(_look_up(levels, table, header), int(table.LUTDescriptor[2]))
    shown = to_8_bits(levels, int(header.BitsStored) - int(header.PixelRepresentation))
    falls = float(header.get("RescaleSlope") or 1) < 0  # the highest level is the lowest measured value
    return 255 - shown if falls else shown


def _measured(levels: np.ndarray, header: Dataset) -> np.ndarray:
    """Convert each level (N,) to the measured value by the header's table, or its rescale slope and intercept."""
    if header.get("ModalityLUTSequence"):
        return _look_up(levels, header.ModalityLUTSequence[0], header)
    return np.asarray(apply_rescale(levels, header))


def _look_up(values: np.ndarray, item: Dataset, header: Dataset) -> np.ndarray:
    """Look up values (N,) in a table."""
    number, first = int(item.LUTDescriptor[0]) or 2**16, int(item.LUTDescriptor[1])
    entries = item.LUTData
    if isinstance(entries, bytes):
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        entries = np.frombuffer(entries, f"{order}u2" if len(entries) >= 2 * number else np.uint8)
    table = np.asarray(entries, np.uint16)[:number]
    return table[np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)]


def _check_inner(data: bytes, header: Dataset) -> tuple[str, ...]:
    """Check before decoding that a compressed image has the size that the header states, and is complete."""

    def check_size(width: int, height: int) -> None:
        if (width, height) != (header.Columns, header.Rows):
            raise UserError("The DICOM file has an image of another size than its header states: export it again.")

    check = check_jpeg if data.startswith(b"\xff\xd8") else check_jpeg_2000
    return check(data, check_size)


def _decode_rle(data: bytes, header: Dataset) -> np.ndarray:
    """Decode RLE to (H, W) or (H, W, 3) with Pillow, which stops at a full image; pydicom unpacks without limit."""
    rows, columns, samples = int(header.Rows), int(header.Columns), int(header.SamplesPerPixel)
    depth = int(header.BitsAllocated) // 8
    number, *starts = struct.unpack_from("<16I", data)
    if number != samples * depth:
        raise damaged("DICOM file")
    levels = np.empty((rows, columns, samples, depth), np.uint8)  # the highest byte of a sample comes first
    for k, (start, end) in enumerate(pairwise([*starts[:number], len(data)])):
        plane = Image.frombytes("L", (rows * columns, 1), data[start:end], "packbits", "L")
        levels[..., k // depth, k % depth] = np.asarray(plane).reshape(rows, columns)
    whole = levels.view(f">{'i' if header.PixelRepresentation else 'u'}{depth}")[..., 0]
    return whole[..., 0] if samples == 1 else whole
