"""What a DICOM header says of its levels is what is shown: golden values for every way of saying it."""

import numpy as np
import pytest
from deep_files import grey
from drawn_files import dicom, encoded, run_lengths
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.reading import read_frames

ROWS, COLUMNS = 20, 36  # not square: axes that are swapped show
SIZE = {"Rows": ROWS, "Columns": COLUMNS}
RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (ROWS, COLUMNS)).astype("<u2")  # of 12 bits
DEEP[0, :2] = 0, 4095
GREY = (DEEP >> 4).astype(np.uint8)
COLOR = RNG.integers(0, 4096, (ROWS, COLUMNS, 3)).astype("<u2")


def bits(stored, allocated=16, high=None, signed=0):
    return SIZE | {"BitsAllocated": allocated, "BitsStored": stored, "PixelRepresentation": signed,
                   "HighBit": stored - 1 if high is None else high}  # fmt: skip


def table(entries, depth, first=0, keyword="LUTData"):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, depth], list(map(int, entries))
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    return [item]


def palette(depth, entries):
    """Write three tables of (256, 3) entries, with the depth that their descriptors state."""
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, column in zip(("Red", "Green", "Blue"), entries.T, strict=True):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, depth]
        elements[f"{name}PaletteColorLookupTableData"] = column.astype("<u2" if depth == 16 else "u1").tobytes()
    return elements


@pytest.fixture
def read(tmp_path):
    def make(data):
        (tmp_path / "a.dcm").write_bytes(data)
        return [frame.image for frame in read_frames(tmp_path / "a.dcm")]

    return make


def planes_of(array):
    """Part levels of 16 bits (H, W[, 3]) into planes of bytes, the high one of each channel first, as RLE does."""
    channels = [array] if array.ndim == 2 else list(array.transpose(2, 0, 1))
    return [(channel >> shift).astype(np.uint8).tobytes() for channel in channels for shift in (8, 0)]


def as_native(arrays, **header):
    return dicom(b"".join(array.tobytes() for array in arrays), NumberOfFrames=len(arrays), **header)


def as_rle(arrays, **header):
    frames = [run_lengths(*planes_of(array.view("<u2"))) for array in arrays]
    return dicom(frames, str(RLELossless), NumberOfFrames=len(arrays), **header)


def as_jpeg_2000(arrays, **header):
    frames = [encoded("JPEG2000", array.astype(np.uint16), no_jp2=True) for array in arrays]
    return dicom(frames, str(JPEG2000Lossless), NumberOfFrames=len(arrays), **header)


@pytest.mark.parametrize("pack", [as_native, as_rle, as_jpeg_2000])
def test_one_bright_pixel_does_not_darken_one_frame_against_the_others(read, pack):
    frame = np.full((ROWS, COLUMNS), 2000, "<u2")
    frame[0, 0] = 2040
    bright = frame.copy()
    bright[0, 0] = 2050
    shown = read(pack([frame, frame, bright, frame], **bits(12)))
    assert [image[5, 5].tolist() for image in shown] == [[125] * 3] * 4
    assert [image[0, 0, 0] for image in shown] == [127, 127, 128, 127]


@pytest.mark.parametrize("pack", [as_native, as_rle, as_jpeg_2000])
@pytest.mark.parametrize(("stored", "shift"), [(8, 0), (10, 2), (12, 4), (14, 6), (16, 8)])
def test_the_bits_that_are_stored_are_the_depth(read, pack, stored, shift):
    levels = (DEEP.astype(np.uint32) << 4 >> (16 - stored)).astype("<u2")
    for dark in (levels, levels // 8):
        (image,) = read(pack([dark], **bits(stored)))
        np.testing.assert_array_equal(image, grey(dark >> shift))


@pytest.mark.parametrize(("stored", "white"), [(1, 1), (4, 15), (7, 127)])
def test_levels_of_fewer_than_8_bits_are_stretched(read, stored, white):
    levels = RNG.integers(0, white + 1, (ROWS, COLUMNS)).astype(np.uint8)
    (image,) = read(dicom(levels.tobytes(), **bits(stored, 8)))
    np.testing.assert_array_equal(image, grey(levels.astype(int) * 255 // white))


@pytest.mark.parametrize("pack", [as_native, as_rle])
def test_an_overlay_in_bits_that_are_not_stored_is_not_shown(read, pack):
    for overlay in (0x8000, 0x1000):
        with_overlay = DEEP.copy()
        with_overlay[3:9, 4:30] |= overlay
        np.testing.assert_array_equal(read(pack([with_overlay], **bits(12)))[0], grey(GREY))


@pytest.mark.parametrize("pack", [as_native, as_rle])
def test_the_highest_bit_says_where_the_stored_bits_are(read, pack):
    for high, shift in ((15, 4), (13, 2)):
        levels = (DEEP << shift) | 1  # what lies below is not stored either
        np.testing.assert_array_equal(read(pack([levels], **bits(12, high=high)))[0], grey(GREY))


@pytest.mark.parametrize("pack", [as_native, as_rle])
def test_signed_levels_have_the_sign_of_their_stored_bits(read, pack):
    levels = DEEP.astype("<i2") - 2048
    window = {"WindowCenter": 0, "WindowWidth": 4096, "VOILUTFunction": "LINEAR_EXACT"}
    expected = grey(np.rint((levels / 4096 + 0.5) * 255))
    for stored in (levels, levels & 0x0FFF):  # the sign in all 16 bits, or in the twelfth alone
        np.testing.assert_array_equal(read(pack([stored.astype("<i2")], **bits(12, signed=1), **window))[0], expected)
    positive = (DEEP >> 1).astype("<i2")
    np.testing.assert_array_equal(read(pack([positive], **bits(12, signed=1)))[0], grey(positive >> 3))
    with pytest.raises(UserError, match="below 0"):
        read(pack([levels], **bits(12, signed=1)))


def test_inverted_levels_are_inverted_after_depth_and_window(read):
    inverted = bits(12) | {"PhotometricInterpretation": "MONOCHROME1"}
    np.testing.assert_array_equal(read(as_native([DEEP], **inverted))[0], grey(255 - GREY))
    np.testing.assert_array_equal(read(as_native([DEEP // 8], **inverted))[0], grey(255 - (DEEP // 8 >> 4)))
    window = {"WindowCenter": 1000, "WindowWidth": 801}
    (image,) = read(as_native([DEEP], **inverted, **window))
    np.testing.assert_array_equal(image, 255 - read(as_native([DEEP], **bits(12), **window))[0])
    assert image[0, 0, 0] == 255  # level 0 lies below the window


WINDOWS = {
    # level -> grey, by the formulas of PS3.3 C.11.2.1.2
    "linear": ({"WindowCenter": 100, "WindowWidth": 201}, {0: 1, 50: 64, 100: 128, 150: 192, 200: 255, 300: 255}),
    "exact": ({"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "LINEAR_EXACT"},
              {0: 0, 50: 64, 100: 128, 150: 191, 200: 255, 300: 255}),
    "sigmoid": ({"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "SIGMOID"},
                {0: 30, 50: 69, 100: 128, 150: 186, 200: 225, 300: 250}),
    "the first of two": ({"WindowCenter": [100, 7], "WindowWidth": [201, 3]}, {50: 64, 150: 192}),
    "of one level": ({"WindowCenter": 100.5, "WindowWidth": 1}, {99: 0, 100: 128, 101: 255}),
    "after rescaling": ({"WindowCenter": 100, "WindowWidth": 201, "RescaleSlope": 2, "RescaleIntercept": -50},
                        {0: 0, 50: 64, 75: 128, 100: 192, 125: 255}),
    "after falling rescaling": ({"WindowCenter": 100, "WindowWidth": 201, "RescaleSlope": -1, "RescaleIntercept": 200},
                                {0: 255, 50: 192, 100: 128, 150: 64, 200: 1, 300: 0}),
    "none, rescaled": ({"RescaleSlope": 3, "RescaleIntercept": -1024}, {0: 0, 2048: 128, 4095: 255}),
    "none, falling": ({"RescaleSlope": -1, "RescaleIntercept": 4095}, {0: 255, 2048: 127, 4095: 0}),
    "table of 12 bits": ({"VOILUTSequence": table(np.arange(256) * 8, 12)}, {0: 0, 2: 1, 100: 50, 255: 127, 999: 127}),
    "table of 16 bits": ({"VOILUTSequence": table(np.arange(256) * 16, 16)}, {0: 0, 100: 6, 255: 15, 999: 15}),
    "table of 8 bits": ({"VOILUTSequence": table(np.arange(256)[::-1], 8)}, {0: 255, 100: 155, 255: 0, 999: 0}),
    "table, not from 0": ({"VOILUTSequence": table(np.arange(256), 8, first=50)}, {0: 0, 50: 0, 150: 100, 999: 255}),
    "long table of 8 bits": ({"VOILUTSequence": table(np.arange(4096) >> 4, 8)},
                             {0: 0, 1000: 62, 2048: 128, 4095: 255}),
    "table after a falling line": ({"VOILUTSequence": table(np.arange(256), 8), "RescaleSlope": -0.5,
                                    "RescaleIntercept": 200}, {0: 200, 100: 150, 390: 5, 999: 0}),
    "modality table": ({"ModalityLUTSequence": table(np.arange(256) * 128, 16)}, {0: 0, 100: 50, 255: 127, 999: 127}),
    "modality table, window": ({"ModalityLUTSequence": table(np.arange(256) * 2, 16), "WindowCenter": 100,
                                "WindowWidth": 201}, {0: 1, 25: 64, 50: 128, 100: 255}),
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_and_tables_give_these_greys(read, name):
    elements, expected = WINDOWS[name]
    if "VOILUTSequence" in elements or "ModalityLUTSequence" in elements:
        for sequence in ("VOILUTSequence", "ModalityLUTSequence"):
            for item in elements.get(sequence, ()):
                item.ModalityLUTType = "US"
    levels = np.zeros((ROWS, COLUMNS), "<u2")
    levels[1, : len(expected)] = list(expected)
    levels[0, 0] = 4095
    (image,) = read(as_native([levels], **bits(12), **elements))
    assert dict(zip(expected, image[1, :, 0].tolist(), strict=False)) == expected


def test_the_descriptor_of_a_palette_is_the_depth_of_its_colours(read):
    entries = np.stack([np.arange(256) * 257, np.arange(256)[::-1] * 257, np.full(256, 99 * 256)], axis=1)
    bright = RNG.integers(0, 256, (ROWS, COLUMNS)).astype(np.uint8)
    dim = bright // 8
    for depth, shift in ((16, 0), (8, 8)):
        shown = read(as_native([bright, dim], **bits(8, 8), **palette(depth, entries >> shift)))
        for image, indices in zip(shown, (bright, dim), strict=True):
            np.testing.assert_array_equal(image, entries[indices] >> 8)
    dark = entries // 16  # in a descriptor of 16 bits: no frame is brightened
    shown = read(as_native([bright, dim], **bits(8, 8), **palette(16, dark)))
    np.testing.assert_array_equal(shown[1], dark[dim] >> 8)


def test_colours_of_more_than_8_bits_are_on_the_stated_depth(read):
    header = bits(12) | {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    for colors in (COLOR, COLOR // 8):
        np.testing.assert_array_equal(read(as_native([colors], **header))[0], colors >> 4)
        np.testing.assert_array_equal(read(as_rle([colors], **header))[0], colors >> 4)
        planes = colors.transpose(2, 0, 1)
        np.testing.assert_array_equal(
            read(as_native([np.ascontiguousarray(planes)], **header | {"PlanarConfiguration": 1}))[0], colors >> 4
        )


def test_ybr_is_shown_in_its_colours(read):
    # Red, green, blue and grey as BT.601 has them.
    ybr = np.array([[76, 85, 255], [150, 44, 21], [29, 255, 107], [90, 128, 128]], np.uint8)
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]])
    square = np.repeat(np.repeat(ybr, 9, axis=0)[None], ROWS, axis=0)
    expected = np.repeat(np.repeat(rgb, 9, axis=0)[None], ROWS, axis=0)
    header = bits(8, 8) | {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0}
    native = dicom(square.tobytes(), **header)
    rle = dicom([run_lengths(*(square[..., k].tobytes() for k in range(3)))], str(RLELossless), **header)
    for data in (native, rle):
        assert np.abs(read(data)[0].astype(int) - expected).max() <= 2
    wide = np.repeat(np.array([[76, 76, 85, 255]], np.uint8), ROWS * COLUMNS // 2, axis=0)  # two pixels share a colour
    half = dicom(wide.tobytes(), **header | {"PhotometricInterpretation": "YBR_FULL_422"})
    assert np.abs(read(half)[0].astype(int) - [255, 0, 0]).max() <= 2


def test_rows_and_columns_are_those_of_the_header_and_frames_begin_where_the_last_one_ends(read):
    # 17 x 19 is odd: no frame is padded, only the whole is.
    frames = [RNG.integers(0, 256, (17, 19)).astype(np.uint8) for _ in range(3)]
    data = b"".join(frame.tobytes() for frame in frames) + b"\0"
    shown = read(dicom(data, Rows=17, Columns=19, NumberOfFrames=3))
    for image, frame in zip(shown, frames, strict=True):
        np.testing.assert_array_equal(image, grey(frame))
    packed = [run_lengths(frame.tobytes()) for frame in frames]
    for image, frame in zip(read(dicom(packed, str(RLELossless), Rows=17, Columns=19, NumberOfFrames=3)), frames,
                            strict=True):  # fmt: skip
        np.testing.assert_array_equal(image, grey(frame))
