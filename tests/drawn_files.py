"""Pictures, DICOM files and videos drawn for the tests: whole ones, and some with a wrong header."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

from bus_lightning.core.reading import open_regular
from bus_lightning.data.levels import OWN_SCALE
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.reading import read_stream

PATIENT = "Mustermann"
SIDE = 48
NATIVE = str(ExplicitVRLittleEndian)


def count_frames(path, limits=None):
    """Return how many images a file has by its header alone."""
    with open_regular(path) as stream:
        return read_stream(stream, limits or Limits(), OWN_SCALE)[0]


def picture(seed=0, side=SIDE, channels=3):
    """Draw a smooth colour picture, (side, side, 3) uint8, or a grey one, (side, side)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    return large if channels == 3 else large[..., 0].copy()


def encoded(kind, array=None, **options):
    """Encode an array, or a picture of Pillow's, and return the bytes."""
    stream = BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(picture() if array is None else array)
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(width, height, data=b"", bits=8, photometric=1, kind=1, compression=1):
    """Write a TIFF of one strip by hand, with whatever its header claims. `kind`: 1 unsigned, 3 floating point."""
    entries = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: 8, 277: 1, 278: height,
               279: len(data), 339: kind}  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + table + bytes(4)


def png_bomb(side):
    """Write a black PNG of one bit a pixel, whose few kilobytes unpack to side * side pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packed = zlib.compress(bytes((side // 8 + 1) * side), 1)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def sized_jpeg(width, height):
    """Take a small JPEG, and let its header claim another size."""
    data = encoded("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def dicom(pixels=None, syntax=NATIVE, without=(), **elements):
    """Write an ultrasound picture as DICOM; `pixels` are bytes, or a list of the compressed frames.

    Args:
        pixels: Value of the pixel data; None for an 8-bit grey picture, b"" for a file without pixel data.
        syntax: The transfer syntax that the file claims.
        without: Keywords to leave out.
        elements: More elements, or other values.
    """
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.SOPClassUID, file.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.3"
    file.PatientName = f"{PATIENT}^Erika"
    usual = {"Rows": SIDE, "Columns": SIDE, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
             "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}  # fmt: skip
    for keyword, value in (usual | elements).items():
        if keyword not in without:
            setattr(file, keyword, value)
    if pixels is None:
        pixels = picture(channels=1).tobytes()
    if pixels:
        file.PixelData = encapsulate(pixels) if isinstance(pixels, list) else pixels
        file["PixelData"].VR = "OB" if isinstance(pixels, list) or file.BitsAllocated == 8 else "OW"
        file["PixelData"].is_undefined_length = isinstance(pixels, list)
    stream = BytesIO()
    file.save_as(stream, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def run_lengths(*planes):
    """Encode planes of bytes as RLE, without any run."""
    packed = [b"".join(bytes([min(128, len(plane) - k) - 1]) + plane[k : k + 128] for k in range(0, len(plane), 128))
              for plane in planes]  # fmt: skip
    starts = np.cumsum([64, *(len(part) for part in packed[:-1])])
    return struct.pack("<16I", len(planes), *starts, *[0] * (15 - len(planes))) + b"".join(packed)


def video(path, frames=20, side=SIDE, code="MJPG"):
    """Write a video with OpenCV, and return its bytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (side, side))
    for k in range(frames):
        writer.write(picture(k, side))
    writer.release()
    data = path.read_bytes()
    path.unlink()
    return data
