"""A compressed image in a DICOM file that lacks pixels is refused, and what a JPEG 2000 announces is bounded."""

import struct
from io import BytesIO

import numpy as np
import pytest
from dicom_reading import reader_in, refusal_by
from drawn_files import dicom, encoded, picture
from PIL import Image
from pydicom.uid import JPEG2000, JPEGBaseline8Bit

WIDE = 160
GREY = np.clip(picture(side=WIDE, channels=1) + np.random.default_rng(0).normal(0, 9, (WIDE, WIDE)), 0, 255).astype(
    "u1"
)


@pytest.fixture
def read(tmp_path):
    return reader_in(tmp_path)


@pytest.fixture
def refusal(read):
    return refusal_by(read)


def compressed(*frames, syntax=JPEG2000, **header):
    return dicom(list(frames), str(syntax), Rows=WIDE, Columns=WIDE, NumberOfFrames=len(frames), **header)


def jpeg_2000(**options):
    return encoded("JPEG2000", GREY, **{"no_jp2": True} | options)


WHOLE = {
    "reversible": {},
    "irreversible": {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]},
    "layers": {"quality_mode": "rates", "quality_layers": [40, 20, 10], "irreversible": True},
    "tiles": {"tile_size": (64, 64)},
    "by resolution": {"progression": "RPCL", "precinct_size": (64, 64)},
    "small blocks": {"codeblock_size": (16, 16), "num_resolutions": 4},
    "in boxes": {"no_jp2": False},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_complete_jpeg_2000_is_accepted_without_a_doubt(read, name):
    (frame,) = read(compressed(jpeg_2000(**WHOLE[name])))
    assert frame.doubts == ()
    assert np.abs(frame.image[..., 0].astype(int) - GREY).mean() < 9


def tile_parts(stream):
    """Find the start and end of each tile part of a JPEG 2000 code stream."""
    at, parts = stream.index(b"\xff\x90"), []
    while stream[at : at + 2] == b"\xff\x90":
        end = at + int.from_bytes(stream[at + 6 : at + 10], "big")
        parts.append((at, end))
        at = end
    return parts


def shortened(stream, share):
    """Keep a share of the last tile part, and state its new length."""
    start, end = tile_parts(stream)[-1]
    data = stream.index(b"\xff\x93", start) + 2
    kept = stream[start : data + int((end - data) * share)]
    return stream[:start] + kept[:6] + len(kept).to_bytes(4, "big") + kept[10:] + stream[end:]


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "in boxes"])
@pytest.mark.parametrize("share", [0, 0.5, 0.98])
def test_a_jpeg_2000_with_a_regular_end_that_lacks_data_is_refused(refusal, name, share):
    line = refusal(compressed(shortened(jpeg_2000(**WHOLE[name]), share)))
    assert "cut off" in line


def test_a_jpeg_2000_that_ends_between_two_layers_is_refused(refusal, read):
    # All of its packets are whole, so that no decoder objects: the last ones are missing.
    stream = jpeg_2000(**WHOLE["layers"], plt=True)
    start, end = tile_parts(stream)[0]
    at = stream.index(b"\xff\x58", start)
    lengths, value = [], 0
    for byte in stream[at + 5 : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")]:
        value = value << 7 | (byte & 127)
        if not byte & 128:
            lengths.append(value)
            value = 0
    data = stream.index(b"\xff\x93", at) + 2
    assert data + sum(lengths) == end
    kept = stream[start : data + sum(lengths[: len(lengths) * 2 // 3])]
    cut = stream[:start] + kept[:6] + len(kept).to_bytes(4, "big") + kept[10:] + b"\xff\xd9"
    assert np.asarray(Image.open(BytesIO(cut))).shape == (WIDE, WIDE)  # Pillow takes it as whole
    assert "part of the picture is missing" in refusal(compressed(cut))
    assert read(compressed(stream))[0].doubts == ()


def test_tiles_that_are_missing_are_noticed(refusal):
    stream = jpeg_2000(tile_size=(64, 64))
    parts = tile_parts(stream)
    start, end = parts[4]
    assert np.asarray(Image.open(BytesIO(stream[:start] + stream[end:]))).shape == (WIDE, WIDE)
    assert "part of the picture is missing" in refusal(compressed(stream[:start] + stream[end:]))
    assert "part of the picture is missing" in refusal(compressed(stream[: parts[-1][0]] + b"\xff\xd9"))
    past_the_end = stream[: parts[-1][0] + 6] + b"\0\xff\xff\xff" + stream[parts[-1][0] + 10 :]
    assert "part of the picture is missing" in refusal(compressed(past_the_end))


def test_a_jpeg_inside_that_lacks_pixels_is_refused(refusal, read):
    stream = encoded("JPEG", GREY)
    assert read(compressed(stream, syntax=JPEGBaseline8Bit))[0].doubts == ()
    half = stream[: len(stream) // 2] + b"\xff\xd9"
    assert "part of the picture is missing" in refusal(compressed(half, syntax=JPEGBaseline8Bit))
    assert "part of the picture is missing" in refusal(compressed(stream, half, syntax=JPEGBaseline8Bit))


def test_what_a_jpeg_2000_announces_is_bounded(refusal):
    stream = jpeg_2000()
    size, coding = stream.index(b"\xff\x51"), stream.index(b"\xff\x52")
    levels = stream[coding + 9]

    def changed(at, data):
        return stream[:at] + data + stream[at + len(data) :]

    precincts = (
        stream[: coding + 2] + struct.pack(">HB", 13 + levels, 1) + stream[coding + 5 : coding + 14]
        + bytes([0x11] * (levels + 1)) + stream[coding + 14 :]
    )  # fmt: skip
    many = {
        "6400 tiles": changed(size + 22, struct.pack(">II", 2, 2)),
        "coarse colours": changed(size + 41, b"\xff"),
        "32 resolutions": changed(coding + 9, b"\x20"),
        "millions of blocks and layers": precincts[: coding + 6] + b"\xff\xff" + precincts[coding + 8 :],
        "9 colours": changed(size + 38, b"\0\x09"),
        "another size": changed(size + 6, struct.pack(">II", 30_000, 30_000)),
    }
    for words, data in many.items():
        assert words in refusal(compressed(data)), words
    boxes = encoded("JPEG2000", GREY, no_jp2=False).replace(b"colr", b"pclr", 1)
    assert "a palette" in refusal(compressed(boxes))
