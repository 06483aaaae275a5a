"""DICOM files with odd levels, places or headers: refused in a line, or answered with a doubt."""

import struct

import numpy as np
import pytest
from dicom_reading import reader_in, refusal_by
from drawn_files import dicom, picture
from pydicom.dataset import Dataset

from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.doubt import find_doubts, is_blank
from bus_lightning.diagnosis.measurements import Measurements

DEEP = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
LEVELS = (picture(channels=1).astype("<u2") * 16).tobytes()


@pytest.fixture
def read(tmp_path):
    return reader_in(tmp_path)


@pytest.fixture
def refusal(read):
    return refusal_by(read)


# Levels


@pytest.mark.parametrize("slope", ["inf", "-inf", "nan", "0", "1e300", "1e-30"])
def test_a_rescaling_without_a_meaning_is_refused(refusal, slope):
    for window in ({}, {"WindowCenter": 100, "WindowWidth": 200}):
        data = dicom(RescaleSlope="7654321", RescaleIntercept=0, **window).replace(b"7654321", slope.encode().ljust(7))
        assert "rescaling without a meaning" in refusal(data)
    data = dicom(RescaleSlope=1, RescaleIntercept="7654321").replace(b"7654321", b"inf    ")
    assert "rescaling without a meaning" in refusal(data)


@pytest.mark.parametrize(("center", "width"), [(1e6, 100), (-1e6, 100), (128, 1e9), (300, 20), (-50, 60)])
def test_a_window_that_shows_none_of_the_levels_is_refused(refusal, center, width):
    assert "none of its levels" in refusal(dicom(WindowCenter=center, WindowWidth=width))
    assert "none of its levels" in refusal(dicom(PhotometricInterpretation="MONOCHROME1", WindowCenter=center,
                                                 WindowWidth=width))  # fmt: skip


@pytest.mark.parametrize(("center", "width"), [(128, 256), (127.5, 255), (100, 60), (0, 700), (40, 400)])
def test_a_usual_window_raises_no_doubt(read, center, width):
    (frame,) = read(dicom(WindowCenter=center, WindowWidth=width))
    assert frame.doubts == ()


@pytest.mark.parametrize(("center", "width"), [(128, 1), (128, 4), (0, 8000), (2000, 3800)])
def test_a_window_that_shows_few_of_the_levels_raises_a_doubt(read, center, width):
    (frame,) = read(dicom(WindowCenter=center, WindowWidth=width))
    assert frame.doubts == ("few_levels",)
    (frame,) = read(dicom())
    assert frame.doubts == ()


def test_levels_of_8_bits_that_are_stated_as_16_raise_a_doubt(read):
    levels = picture(channels=1).astype("<u2")
    (frame,) = read(dicom(levels.tobytes(), BitsAllocated=16, BitsStored=16, HighBit=15))
    assert frame.doubts == ("few_levels",)


def test_the_decoding_process_hands_the_doubts_of_a_frame_on(tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom(WindowCenter=128, WindowWidth=1))
    (tmp_path / "b.dcm").write_bytes(dicom())
    with Decoders() as decoders:
        assert [next(decoders.read(tmp_path / name)[1]).doubts for name in ("a.dcm", "b.dcm")] == [("few_levels",), ()]


def test_each_doubt_about_an_image_has_a_sentence():
    codes = ["blank", "possibly_incomplete", "few_levels"]
    doubts = find_doubts(True, {"benign": 0.9, "normal": 0.1}, None, Measurements(lesions=1, area_px=9), of_image=codes)
    assert [doubt.code for doubt in doubts] == codes
    assert all(doubt.text.endswith(".") for doubt in doubts)


def test_an_image_of_one_level_is_blank():
    for level in (0, 128, 255):
        image = np.full((80, 90, 3), level, np.uint8)
        assert is_blank(image)
        image[:2, :80] = 90
        assert is_blank(image)  # also with a mark on it
        image[: len(image) // 2] = np.random.default_rng(0).integers(0, 256, (40, 90, 1))
        assert not is_blank(image)


# Spacing


def region(delta=0.005, **values):
    item = Dataset()
    item.RegionSpatialFormat, item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = 1, 3, 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = delta
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize("text", ["nan\\nan", "-1\\-1", "0\\0", "1\\1\\1", "1", "text\\1", "1e9\\1e9", "\\", "inf\\1"])
def test_an_odd_spacing_only_loses_the_millimetres(read, text):
    data = dicom(PixelSpacing="654321\\123456").replace(b"654321\\123456 ", text.encode().ljust(14))
    (frame,) = read(data)
    assert frame.spacing_mm is None
    assert np.array_equal(frame.image[..., 0], picture(channels=1))


def test_odd_regions_only_lose_the_millimetres(read):
    odd = [
        [region(float("nan"))],
        [region(float("inf"))],
        [region(0.0)],
        [region(), region(0.009)],
        [region(RegionSpatialFormat=[1, 1])],
        [region() for _ in range(200)],
        [Dataset()],
    ]
    for regions in odd:
        (frame,) = read(dicom(SequenceOfUltrasoundRegions=regions))
        assert frame.spacing_mm is None
    wrong = region()
    wrong.PhysicalDeltaX = [0.005] * 5_000  # of many numbers
    (frame,) = read(dicom(SequenceOfUltrasoundRegions=[wrong]))
    assert frame.spacing_mm is None
    (frame,) = read(dicom(SequenceOfUltrasoundRegions=[region() for _ in range(8)]))
    assert frame.spacing_mm == pytest.approx((0.05, 0.05))


# What the header announces


def with_items(number, stated_length):
    """Write an ultrasound picture with as many empty regions."""
    whole = dicom()
    at = whole.index(struct.pack("<HH", 0x0028, 0x0002))
    items = b"\xfe\xff\0\xe0\0\0\0\0" * number
    if stated_length:
        sequence = struct.pack("<I", len(items)) + items
    else:
        sequence = b"\xff" * 4 + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return whole[:at] + b"\x18\0\x11\x60SQ\0\0" + sequence + whole[at:]


def test_the_items_of_a_header_are_counted(refusal, read):
    assert "too many elements or items" in refusal(with_items(110_000, stated_length=False))
    for stated_length in (False, True):
        (frame,) = read(with_items(9_000, stated_length))
        assert frame.spacing_mm is None


def test_a_value_of_many_numbers_is_refused(refusal):
    for keyword in ("WindowCenter", "WindowWidth", "RescaleSlope"):
        values = {"WindowCenter": 5, "WindowWidth": 5, "RescaleSlope": 1, keyword: [1] * 5_000}
        assert "damaged" in refusal(dicom(**values))


def segmented(*words):
    data = struct.pack(f"<{len(words)}H", *words)
    names = ("Red", "Green", "Blue")
    return {"PhotometricInterpretation": "PALETTE COLOR"} | {
        key: value
        for name in names
        for key, value in ((f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16]),
                           (f"Segmented{name}PaletteColorLookupTableData", data))
    }  # fmt: skip


def test_a_palette_in_segments_is_counted_before_it_is_made(refusal, read):
    (frame,) = read(dicom(**segmented(0, 1, 0, 1, 255, 65280)))
    assert np.abs(frame.image[..., 0].astype(int) - picture(channels=1)).max() <= 1
    assert "damaged" in refusal(dicom(**segmented(0, 1, 0, *(1, 65535, 9) * 50)))
    assert "damaged" in refusal(dicom(**segmented(0, 1, 0, *(1, 65535, 9), *(2, 2, 0, 0) * 50)))


def test_a_frame_has_no_doubt_in_an_ordinary_file(read):
    assert read(dicom())[0].doubts == read(dicom(LEVELS, **DEEP))[0].doubts == ()


def test_a_compression_without_a_decoder_is_named_also_where_its_colours_are_those_of_a_video(refusal):
    clip = {"PhotometricInterpretation": "YBR_PARTIAL_420", "SamplesPerPixel": 3, "NumberOfFrames": 2}
    line = refusal(dicom([b"\0\0\1\xb3 film"], "1.2.840.10008.1.2.4.102", **clip))
    assert "compression (MPEG-4" in line
    assert "has no decoder" in line
