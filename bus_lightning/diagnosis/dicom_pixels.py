"""Decode one picture of a DICOM file to RGB."""

import math
import struct
from io import BytesIO
from itertools import pairwise

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

from bus_lightning.diagnosis.frames import damaged, to_8_bits
from bus_lightning.errors import UserError

BY_PILLOW = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEG2000Lossless)


def decode(header: Dataset, data: bytes, vr: str) -> np.ndarray:
    """Decode one picture.

    Args:
        header: What says how to read it; its pixel data are replaced.
        data: The picture, as it is in the file.
        vr: Kind of the pixel data, OB or OW.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UserError: When the picture is not the one that the header announces, or its levels have no meaning.
    """
    syntax = header.file_meta.TransferSyntaxUID
    kind = str(header.PhotometricInterpretation)
    if syntax == RLELossless:
        levels = _run_lengths(data, header)
    else:
        if syntax in BY_PILLOW:
            _check_inside(data, header)
            data = encapsulate([data])
        header.add_new(0x7FE00010, vr, data)
        levels, properties = get_decoder(syntax).as_array(header, index=0, raw=True)
        kind = str(properties["photometric_interpretation"])
    if kind == "PALETTE COLOR":
        return np.ascontiguousarray(to_8_bits(apply_color_lut(levels, header)))
    if header.SamplesPerPixel == 3:
        colors = to_8_bits(levels)
        if kind.startswith("YBR_FULL"):
            colors = np.asarray(Image.fromarray(colors, "YCbCr").convert("RGB"))
        return np.array(colors)
    low, high = int(levels.min()), int(levels.max())
    table = _shown(np.arange(low, high + 1, dtype=levels.dtype), header)
    if kind == "MONOCHROME1":
        table = 255 - table
    grey = table[levels.astype(np.int32) - low]
    return np.repeat(grey[..., None], 3, axis=2)


def _shown(levels: np.ndarray, header: Dataset) -> np.ndarray:
    """Map each level (N,) to uint8, as the header's table or first window says."""
    if header.get("VOILUTSequence"):
        return to_8_bits(apply_voi(apply_modality_lut(levels, header), header))
    if header.get("WindowCenter") is None or header.get("WindowWidth") is None:
        if levels[0] < 0:
            raise UserError("The DICOM file has levels below 0 and no window: save it with 8 bits.")
        return to_8_bits(levels)
    center, width = (float(np.ravel(header[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    if not (math.isfinite(center) and width > 0 and math.isfinite(width)):
        raise damaged("DICOM file")
    values = apply_modality_lut(levels, header)
    function = header.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        shown = 1 / (1 + np.exp(-4 * (values - center) / width))
    elif function == "LINEAR_EXACT":
        shown = (values - center) / width + 0.5
    else:
        shown = (values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)


def _check_inside(data: bytes, header: Dataset) -> None:
    """See that a compressed picture has the size that the header says, before it is decoded."""
    with Image.open(BytesIO(data), formats=["JPEG", "JPEG2000"]) as image:
        if image.size != (header.Columns, header.Rows):
            raise UserError("The DICOM file has a picture of another size than its header says: export it anew.")


def _run_lengths(data: bytes, header: Dataset) -> np.ndarray:
    """Decode RLE with Pillow, which ends where the picture is full; pydicom would unpack without limit.

    Returns:
        (H, W) or (H, W, 3), of as many bits as the header says.
    """
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
