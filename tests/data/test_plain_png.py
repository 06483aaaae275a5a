"""A plain PNG is decoded in one pass to the pixels that Pillow finds; everything else is left to Pillow."""

import struct
import zlib

import numpy as np
import pytest
from deep_files import chunk
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image, read_single_mask
from bus_lightning.data.masks import decode_mask
from bus_lightning.data.plain_png import decode_plain_png

START = b"\x89PNG\r\n\x1a\n"
LEVELS = np.random.default_rng(0).integers(1, 255, (30, 43, 3), dtype=np.uint8)


def decoded(path):
    with path.open("rb") as stream:
        pixels = decode_plain_png(stream)
        assert stream.tell() == 0
    return pixels


def written(path, *chunks, width=43, height=30, depth=8, color=0, raw=None):
    raw = b"".join(b"\0" + row.tobytes() for row in LEVELS[..., 0]) if raw is None else raw
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    path.write_bytes(START + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_plain_png_has_the_pixels_that_pillow_finds(tmp_path, mode):
    path = tmp_path / "i.png"
    Image.fromarray(LEVELS).convert(mode).save(path)
    with Image.open(path) as image:
        expected = np.array(image.convert("L" if mode == "1" else mode))
    np.testing.assert_array_equal(decoded(path), expected)
    rgb = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(path), rgb)


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "I;16"])
def test_a_png_of_another_kind_is_left_to_pillow(tmp_path, mode):
    grey = Image.fromarray(LEVELS[..., 0])
    picture = Image.fromarray(LEVELS[..., 0].astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
    picture.save(tmp_path / "i.png")
    assert decoded(tmp_path / "i.png") is None
    assert read_image(tmp_path / "i.png").shape == (30, 43, 3)


@pytest.mark.parametrize(
    "further",
    [(b"tRNS", b"\0\7"), (b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0"), (b"iCCP", b"x\0\0" + zlib.compress(b"x")),
     (b"acTL", struct.pack(">II", 1, 0)), (b"tEXt", b"Raw profile type exif\0x")],
)  # fmt: skip
def test_a_png_whose_chunks_could_change_a_pixel_is_left_to_pillow(tmp_path, further):
    assert decoded(written(tmp_path / "i.png")) is not None
    assert decoded(written(tmp_path / "i.png", chunk(*further))) is None


def test_a_png_that_lacks_pixels_or_announces_too_many_is_refused_in_one_line(tmp_path, capfd):
    rows = b"".join(b"\0" + row.tobytes() for row in LEVELS[..., 0])
    for name, options in {
        "half": {"raw": rows[: len(rows) // 2]},
        "one byte less": {"raw": rows[:-1]},
        "a large picture of few bytes": {"width": 9000, "height": 9000},
    }.items():
        path = written(tmp_path / f"{name}.png", **options)
        assert decoded(path) is None
        with pytest.raises(UserError, match=f"{name}.png .*cut off inside") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)
    whole = written(tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-40])
    capfd.readouterr()
    assert decoded(tmp_path / "cut.png") is None
    assert decoded(tmp_path / "a large picture of few bytes.png") is None
    assert capfd.readouterr().err == ""  # nothing was given to the decoder, which would complain


def test_a_damaged_chunk_is_not_taken_as_whole(tmp_path, capfd):
    content = bytearray(written(tmp_path / "i.png").read_bytes())
    content[-20] ^= 1
    (tmp_path / "i.png").write_bytes(content)
    assert decoded(tmp_path / "i.png") is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.parametrize("kind", ["lesion", "empty", "label", "soft", "inverted"])
def test_the_mask_of_a_plain_png_is_that_of_its_file(tmp_path, mode, kind):
    level = np.zeros((40, 50), np.uint8)
    if kind != "empty":
        level[10:25, 12:30] = {"label": 2, "soft": 200}.get(kind, 255)
    if kind == "soft":
        level[9, 12:30] = 90
    level = 255 - level if kind == "inverted" else level
    Image.fromarray(level).convert(mode).save(tmp_path / "m.png")
    mask, rule, resized = read_single_mask(tmp_path / "m.png", (40, 50))
    assert decoded(tmp_path / "m.png") is not None
    expected = decode_mask(tmp_path / "m.png")  # with Pillow
    np.testing.assert_array_equal(mask, expected.lesion)
    assert (mask.dtype, rule, resized) == (np.uint8, expected.rule, False)


def test_a_mask_whose_colours_are_equally_bright_is_read_by_its_colours(tmp_path):
    colors = np.full((40, 50, 3), (255, 0, 0), np.uint8)
    colors[10:25, 12:30] = (0, 255, 0)
    Image.fromarray(colors).save(tmp_path / "m.png")
    mask, rule, _ = read_single_mask(tmp_path / "m.png", (40, 50))
    assert mask.sum() == 15 * 18
    assert "border" in rule
