"""Files of a clinic near the limits: tables that end, windows that are half there, sizes that are just allowed."""

import io
from pathlib import Path

import numpy as np
import pytest
from drawn_files import dicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from test_diagnosis_dicom import region
from test_dicom_levels import COLUMNS, DEEP, ROWS, as_native, bits

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.reading import fingerprint, kind_of, read_frames


@pytest.fixture
def read(tmp_path):
    def make(data, **limits):
        (tmp_path / "a.dcm").write_bytes(data)
        return list(read_frames(tmp_path / "a.dcm", Limits(**limits)))

    return make


def greys(read, levels, **elements):
    """Show a picture whose second row holds some levels; returns their greys."""
    picture = np.zeros((ROWS, COLUMNS), "<u2")
    picture[1, : len(levels)] = levels
    picture[0, 0] = 4095
    return read(as_native([picture], **bits(12), **elements))[0].image[1, : len(levels), 0].tolist()


def table(number, entries, depth):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [number, 0, depth], entries
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    item.ModalityLUTType = "US"
    return [item]


def test_a_table_ends_where_its_descriptor_says(read):
    padded = np.array([0, 100, 200, 7], np.uint8).tobytes()  # three entries and the byte that makes them even
    assert greys(read, [0, 1, 2, 3, 999], VOILUTSequence=table(3, padded, 8)) == [0, 100, 200, 200, 200]


def test_a_table_of_no_stated_length_has_all_16_bits(read):
    whole = (np.arange(2**16) // 2).astype("<u2").tobytes()
    assert greys(read, [0, 2048, 4095], VOILUTSequence=table(0, whole, 11)) == [0, 128, 255]


@pytest.mark.parametrize("half", [{"WindowCenter": 100}, {"WindowWidth": 200}])
def test_a_window_without_its_centre_or_its_width_is_ignored(read, half):
    assert greys(read, [0, 2048, 4095], **half) == greys(read, [0, 2048, 4095]) == [0, 128, 255]


@pytest.mark.parametrize("width", [0, -5, "1e400"])
def test_a_window_without_a_width_is_damaged(read, width):
    with pytest.raises(UserError, match="damaged"):
        read(as_native([DEEP], **bits(12), WindowCenter=100, WindowWidth=width))


@pytest.mark.parametrize(("side", "known"), [(0.001, True), (0.0009, False), (10, True), (10.1, False)])
def test_pixels_of_a_micrometre_to_a_centimetre_are_plausible(read, side, known):
    for spacing in ([side, 0.5], [0.5, side]):
        (frame,) = read(as_native([DEEP], **bits(12), PixelSpacing=spacing))
        assert frame.spacing_mm == (tuple(spacing) if known else None)


@pytest.mark.parametrize(("other", "agree"), [(0.01009, True), (0.0102, False)])
def test_regions_agree_up_to_a_hundredth(read, other, agree):
    regions = [region(0.01, 0.01), region(0.01, other)]
    (frame,) = read(as_native([DEEP], **bits(12), SequenceOfUltrasoundRegions=regions))
    assert frame.spacing_mm == (pytest.approx((0.1, 0.1)) if agree else None)


def test_a_file_that_is_cut_off_says_by_how_much(read):
    whole = as_native([DEEP, DEEP], **bits(12))
    assert len(read(whole)) == 2
    size = 2 * 2 * ROWS * COLUMNS
    with pytest.raises(UserError, match=f"it has {size - 10} of {size} bytes"):
        read(whole[:-10])


def test_a_file_and_its_pictures_may_be_as_large_as_the_limit(read, tmp_path):
    data = as_native([DEEP, DEEP], **bits(12))
    assert len(read(data, file_bytes=len(data), frames=2, pixels=ROWS * COLUMNS)) == 2
    for short in ({"file_bytes": len(data) - 1}, {"frames": 1}, {"pixels": ROWS * COLUMNS - 1}):
        with pytest.raises(UserError):
            read(data, **short)
    assert len(fingerprint(tmp_path / "a.dcm", Limits(file_bytes=len(data)))) == 12
    with pytest.raises(UserError, match="make it smaller"):
        fingerprint(tmp_path / "a.dcm", Limits(file_bytes=len(data) - 1))


def test_a_kind_is_recognised_by_the_first_bytes(tmp_path):
    heads = {
        "DICOM": dicom(),
        "PNG": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "video": b"RIFF" + bytes(4) + b"AVI " + bytes(200),
    }
    for kind, head in heads.items():
        (tmp_path / "x").write_bytes(head)
        assert kind_of(tmp_path / "x") == kind
    assert dcmread(io.BytesIO(heads["DICOM"])).Rows  # a whole file, not only a head
    others = {
        b"RIFF" + bytes(4) + b"WEBP" + bytes(200): "a WebP picture",
        b"RIFF" + bytes(4) + b"WAVE" + bytes(200): "of an unknown kind",
        bytes(4) + b"ftypavif" + bytes(200): "HEIC or AVIF",
        b"a letter of the patient" * 9: "a text",
        b"\xef\xbb\xbf  <html>": "a web page",
        b"\x00\x01" * 90: "of an unknown kind",
        b"": "empty",
    }
    for head, message in others.items():
        (tmp_path / "x").write_bytes(head)
        with pytest.raises(UserError, match=message):
            kind_of(tmp_path / "x")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails, as Linux has one")
def test_a_file_whose_reading_fails_is_one_line():
    with pytest.raises(UserError, match=r"^The file cannot be read: copy it to another disk\.$"):
        kind_of(Path("/proc/self/mem"))
    with pytest.raises(UserError, match="cannot be read to its end"):
        fingerprint(Path("/proc/self/mem"))
