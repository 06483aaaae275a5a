"""DICOM is shown as its header says, and as pydicom shows it; spacing is given where the header is certain."""

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from drawn_files import SIDE, count_frames, dicom, encoded, picture, run_lengths
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from bus_lightning.diagnosis.reading import read_frames

GREY = picture(channels=1)
DEEP = GREY.astype(np.uint16)


@pytest.fixture
def read(tmp_path):
    """Write bytes into a file and read its pictures."""

    def make(data):
        path = tmp_path / "IM_0001"
        path.write_bytes(data)
        frames = list(read_frames(path))
        assert count_frames(path) == len(frames)
        for frame in frames:
            assert frame.image.dtype == np.uint8
            assert frame.image.shape == (SIDE, SIDE, 3)
            assert frame.image.flags.c_contiguous
        return frames

    return make


DEEP_HEADER = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
RGB_HEADER = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
COLOR = picture()
DICOMS = {
    "grey": (dicom(), GREY),
    "inverted": (dicom(PhotometricInterpretation="MONOCHROME1"), 255 - GREY),
    "12 bits": (dicom((DEEP * 16).tobytes(), **DEEP_HEADER), GREY),
    "window": (dicom((DEEP + 300).tobytes(), **DEEP_HEADER, WindowCenter=[428, 9], WindowWidth=[256, 9]), GREY),
    "exact window": (dicom((DEEP + 300).tobytes(), **DEEP_HEADER, WindowCenter=427.5, WindowWidth=255,
                           VOILUTFunction="LINEAR_EXACT"), GREY),
    "rescaled": (dicom((DEEP + 300).tobytes(), **DEEP_HEADER, WindowCenter=128, WindowWidth=256, RescaleSlope=1,
                       RescaleIntercept=-300), GREY),
    "signed": (dicom((DEEP.astype("<i2") - 100).tobytes(), **DEEP_HEADER | {"PixelRepresentation": 1},
                     WindowCenter=28, WindowWidth=256), GREY),
    "rgb": (dicom(COLOR.tobytes(), **RGB_HEADER), COLOR),
    "planes": (dicom(COLOR.transpose(2, 0, 1).tobytes(), **RGB_HEADER | {"PlanarConfiguration": 1}), COLOR),
    "rle": (dicom([run_lengths(GREY.tobytes())], str(RLELossless)), GREY),
    "rle rgb": (dicom([run_lengths(*(COLOR[..., k].tobytes() for k in range(3)))], str(RLELossless), **RGB_HEADER),
                COLOR),
    "rle 16": (dicom([run_lengths(*(((DEEP * 16) >> s).astype(np.uint8).tobytes() for s in (8, 0)))],
                     str(RLELossless), **DEEP_HEADER), GREY),
}  # fmt: skip


@pytest.mark.parametrize("name", DICOMS)
def test_dicom_is_shown_as_its_header_says(read, name):
    data, expected = DICOMS[name]
    (frame,) = read(data)
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    assert np.array_equal(frame.image, expected)


BUNDLED = ["examples_ybr_color", "examples_rgb_color", "examples_jpeg2k", "SC_rgb_jpeg", "SC_rgb_rle_2frame",
           "SC_rgb_dcmtk_+eb+cy+np", "SC_ybr_full_422_uncompressed", "ExplVR_BigEnd", "examples_palette"]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of pydicom, as it reads the same files
@pytest.mark.parametrize("name", BUNDLED)
def test_dicom_of_real_machines_is_read_as_pydicom_does(name):
    path = Path(pydicom.__file__).parent / "data/test_files" / f"{name}.dcm"
    frames = list(read_frames(path))
    file = pydicom.dcmread(path)
    assert len(frames) == count_frames(path) == int(file.get("NumberOfFrames", 1))
    expected = pixel_array(file, index=len(frames) - 1)
    if name == "examples_palette":
        expected = (apply_color_lut(expected, file) >> 8).astype(np.uint8)
    assert np.abs(frames[-1].image.astype(int) - expected).max() <= 1  # rounding of YBR


def test_frames_of_dicom_come_in_order(read):
    pictures = [picture(k, channels=1) for k in range(3)]
    plain = dicom(b"".join(array.tobytes() for array in pictures), NumberOfFrames=3)
    compressed = dicom([encoded("JPEG", array, quality=98) for array in pictures], str(JPEGBaseline8Bit),
                       NumberOfFrames=3)  # fmt: skip
    for data in (plain, compressed):
        frames = read(data)
        assert [frame.number for frame in frames] == [0, 1, 2]
        for frame, array in zip(frames, pictures, strict=True):
            assert np.abs(frame.image[..., 0].astype(int) - array).max() < 12


def region(x, y, units=3, kind=1):
    part = Dataset()
    part.RegionSpatialFormat, part.PhysicalUnitsXDirection, part.PhysicalUnitsYDirection = kind, units, units
    part.PhysicalDeltaX, part.PhysicalDeltaY = x, y
    return part


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, None),
        ({"PixelSpacing": [0.2, 0.3]}, (0.2, 0.3)),
        ({"SequenceOfUltrasoundRegions": [region(0.008, 0.007)]}, (0.07, 0.08)),  # centimetres, width first
        ({"SequenceOfUltrasoundRegions": [region(0.008, -0.007)], "PixelSpacing": [1, 1]}, (0.07, 0.08)),
        ({"SequenceOfUltrasoundRegions": [region(0.01, 0.01), region(0.1, 5, units=4, kind=3)]}, (0.1, 0.1)),
        ({"SequenceOfUltrasoundRegions": [region(0.01, 0.01), region(0.02, 0.02)]}, None),  # which one?
        ({"SequenceOfUltrasoundRegions": [region(0.0, 0.0)]}, None),
        ({"PixelSpacing": [500, 500]}, None),
    ],
)
def test_spacing_is_in_millimetres_where_the_header_is_certain(read, elements, expected):
    (frame,) = read(dicom(**elements))
    assert frame.spacing_mm == (pytest.approx(expected) if expected else None)


def test_a_run_length_bomb_is_not_unpacked(tmp_path):
    bomb = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 2_000
    (tmp_path / "a.dcm").write_bytes(dicom([bomb], str(RLELossless)))
    frame = next(read_frames(tmp_path / "a.dcm"))
    assert frame.image.shape == (SIDE, SIDE, 3)
    assert not frame.image.any()
