"""What a picture file announces is bounded before it is decoded, and a file that lacks pixels is not taken as whole."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from deep_files import chunk, png_16, tiff_of
from drawn_files import encoded, picture, tiff
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.audit import audit_folder
from bus_lightning.data.index import read_image
from bus_lightning.data.sources.folder import read as read_folder
from bus_lightning.data.structure import check_picture
from bus_lightning.diagnosis.frames import Limits

COLOR = np.clip(picture(side=200) + np.random.default_rng(0).normal(0, 12, (200, 200, 3)), 0, 255).astype(np.uint8)
JPEGS = {
    "baseline": {},
    "all colours": {"subsampling": 0, "quality": 95},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "a restart after each block": {"restart_marker_blocks": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
    "small": {"quality": 5, "optimize": True},
}
EVERY_SCAN_END, RESTART_ENDS = bytes([0xC4, 0xDA, 0xD9]), bytes(range(0xD0, 0xD8))


def check(data):
    return check_picture(BytesIO(data))


def refusal(data, **options):
    with pytest.raises(UserError) as caught:
        check_picture(BytesIO(data), **options)
    line = str(caught.value)
    assert "\n" not in line
    assert ": " in line
    assert line.endswith(".")
    return line


def data_ends(jpeg, kinds=EVERY_SCAN_END + RESTART_ENDS):
    """Find the markers that follow the pixels of a JPEG: of the next scan, of the end, and of restarts."""
    start = jpeg.index(b"\xff\xda")
    return [at for at in range(start + 20, len(jpeg) - 1) if jpeg[at] == 0xFF and jpeg[at + 1] in kinds]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("name", JPEGS)
def test_a_complete_jpeg_is_accepted_without_a_doubt(name, mode):
    assert check(encoded("JPEG", Image.fromarray(COLOR).convert(mode), **JPEGS[name])) == ()


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("lost", ["20 bytes", "half"])
def test_a_jpeg_with_a_regular_end_that_lacks_pixels_is_refused(name, lost, tmp_path):
    whole = encoded("JPEG", COLOR, **JPEGS[name])
    start, end = whole.rindex(b"\xff\xda") + 14, len(whole) - 2  # of the data of the last scan
    data = whole[: max(start, end - (20 if lost == "20 bytes" else (end - start) // 2))] + whole[end:]
    np.asarray(Image.open(BytesIO(data)))  # Pillow takes it as whole
    assert "part of the picture is missing" in refusal(data)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.jpg cannot be read: The JPEG is cut off inside"):
        read_image(tmp_path / "a.jpg")


def test_pixels_that_are_missing_before_a_restart_are_noticed():
    whole = encoded("JPEG", COLOR, restart_marker_rows=1)
    ends = data_ends(whole, RESTART_ENDS)
    for at in (ends[2], ends[-1]):
        assert "missing" in refusal(whole[: at - 60] + whole[at:])
    without_an_interval = whole[: ends[1]] + whole[ends[3] :]
    assert "missing" in refusal(without_an_interval)


def test_scans_that_a_progressive_jpeg_has_lost_are_noticed():
    whole = encoded("JPEG", COLOR, progressive=True)
    scans = data_ends(whole, b"\xc4\xda\xd9")
    assert check(whole) == ()
    assert check(whole[: scans[-2]] + whole[-2:]) == ("possibly_incomplete",)  # legal, but coarse
    assert check(whole[: scans[1]] + whole[-2:]) == ("possibly_incomplete",)


def test_a_jpeg_whose_decoder_cannot_tell_is_doubted():
    # The frame header of arithmetic coding; nothing is decoded.
    assert check(encoded("JPEG", COLOR).replace(b"\xff\xc0\x00\x11", b"\xff\xc9\x00\x11")) == ("possibly_incomplete",)


def test_scans_markers_and_notes_of_a_jpeg_are_counted():
    whole = encoded("JPEG", COLOR, progressive=True)
    start, end = data_ends(whole, b"\xc4\xda\xd9")[-2:]
    assert "more than 100 scans" in refusal(whole[:end] + whole[start:end] * 100 + whole[end:])
    plain = encoded("JPEG", COLOR)
    at = data_ends(plain)[-1]
    assert "more restart markers" in refusal(plain[:at] + b"\xff\xd0" * 1000 + plain[at:])
    assert "a header of more than 16 MB" in refusal(plain[:2] + (b"\xff\xe2\xff\xff" + bytes(65533)) * 250 + plain[2:])
    twice = plain[2 : plain.index(b"\xff\xda")]
    assert "several frames" in refusal(plain[:2] + twice + plain[2:])
    for data in (plain[:2] + notes_segment(directory(2000)) + plain[2:], png_with(chunk(b"eXIf", directory(2000)))):
        assert "2000 entries in a directory" in refusal(data)


def directory(number, kind=7, count=4, at=0):
    """Write a directory of a camera's notes, with so many entries."""
    entries = b"".join(struct.pack("<HHII", 40_000 + k, kind, count, at) for k in range(number))
    return b"II*\0" + struct.pack("<IH", 8, number) + entries + bytes(4)


def notes_segment(notes):
    content = b"Exif\0\0" + notes
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def png_with(extra):
    whole = encoded("PNG", COLOR)
    at = whole.index(b"IDAT") - 4
    return whole[:at] + extra + whole[at:]


def test_a_size_that_is_not_wanted_is_refused_before_anything_is_decoded():
    check_size = Limits(pixels=10_000).check_size
    for data in (encoded("JPEG", COLOR), encoded("PNG", COLOR), encoded("TIFF", COLOR)):
        assert "make it smaller" in refusal(data, check_size=check_size)


# PNG


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_complete_png_is_accepted(mode):
    image = Image.fromarray(COLOR).convert("L" if mode == "I;16" else mode)
    assert check(encoded("PNG", image.convert(mode))) == ()


def test_a_complete_png_of_other_kinds_is_accepted():
    others = {"save_all": True, "append_images": [Image.fromarray(COLOR[:, ::-1]), Image.fromarray(COLOR[:90, :80])]}
    assert check(encoded("PNG", COLOR, **others)) == ()
    assert check(png_16(COLOR.astype(np.uint16) * 257)) == ()
    assert check(interlaced(COLOR[:37, :53])) == ()
    assert check(encoded("PNG", COLOR)[:-12]) == ()  # all pixels, but no end


def interlaced(array):
    """Write an interlaced PNG: seven passes, each with a part of the rows and columns."""
    starts_and_steps = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    passes = [array[top::down, left::across] for left, top, across, down in starts_and_steps]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 8, 2, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), array)
    return data


def short_png(rows):
    """Write a PNG whose packed pixels end regularly after some of its 200 rows."""
    head = struct.pack(">IIBBBBB", 200, 200, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in COLOR[:rows]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_png_whose_packed_pixels_end_early_is_refused():
    assert check(short_png(200)) == ()
    for rows in (199, 100, 1):
        assert np.asarray(Image.open(BytesIO(short_png(rows))))[-1].max() == 0  # Pillow leaves the rest black
        assert "part of the picture is missing" in refusal(short_png(rows))


def test_chunks_of_a_png_are_counted():
    assert "200000 chunks" in refusal(png_with(chunk(b"tEXt", b"a\0b") * 200_000))
    assert "32 MB of chunks without pixels" in refusal(png_with(chunk(b"prVt", bytes(33_000_000))))
    packed = zlib.compress(bytes(1_000_000))
    for name, content in ((b"zTXt", b"\0" + packed), (b"iTXt", b"\1\0\0\0" + packed), (b"tEXt", bytes(100_000))):
        assert "notes of a camera" in refusal(png_with(chunk(name, b"Raw profile type exif\0" + content)))
    large = struct.pack(">IIIIIHHBB", 0, 1000, 1000, 0, 0, 1, 1, 0, 0)
    whole = encoded("PNG", COLOR)
    assert "larger than the whole" in refusal(whole[:-12] + chunk(b"fcTL", large) + whole[-12:])


# TIFF


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_complete_tiff_is_accepted(compression, big_tiff):
    options = {"compression": compression, "big_tiff": big_tiff}
    pages = {"save_all": True, "append_images": [Image.fromarray(COLOR[:90])]}
    assert check(encoded("TIFF", COLOR, **options)) == check(encoded("TIFF", COLOR, **options, **pages)) == ()


def test_a_tiff_with_a_strip_for_each_row_and_other_kinds_are_accepted():
    assert check(encoded("TIFF", COLOR, tiffinfo={278: 1})) == ()
    assert check(tiff_of([COLOR], planar=2)) == check(tiff_of([COLOR], order=">")) == ()
    assert check(tiff_of([COLOR[..., 0].astype(np.float32)])) == ()
    assert check(tiff(200, 200, COLOR[..., 0].tobytes())) == ()


def test_a_strip_of_jpeg_that_lacks_pixels_is_refused():
    whole = encoded("TIFF", COLOR, compression="jpeg")
    start = whole.index(b"\xff\xda")
    end = whole.index(b"\xff\xd9", start)
    data = whole[: end - 200] + whole[end : end + 2] + bytes(200) + whole[end + 2 :]  # offsets stay
    np.asarray(Image.open(BytesIO(data)))  # Pillow takes it as whole
    assert "part of the picture is missing" in refusal(data)


def test_a_tiff_whose_decoder_cannot_tell_is_doubted():
    assert check(encoded("TIFF", Image.fromarray(COLOR).convert("1"), compression="group4")) == ("possibly_incomplete",)


def pages(number):
    """Write a TIFF of as many pages, each a directory with a width and a height."""
    size = 2 + 2 * 12 + 4
    page = struct.pack("<H", 2) + struct.pack("<HHII", 256, 4, 1, 20) + struct.pack("<HHII", 257, 4, 1, 20)
    return (
        b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", 8 + size * (k + 1)) for k in range(number))
    )


def test_what_the_directories_of_a_tiff_announce_is_bounded():
    plane = COLOR[..., 0]
    lots = {
        "tiles of 60000 x 60000": [(322, [60_000]), (323, [60_000]), (324, [8]), (325, [9])],
        "900 tiles or strips": [(322, [208]), (323, [208]), (324, [8] * 900), (325, [9])],
        "90 samples": [(277, [90])],
        "rare compression": [(259, [34925])],
        "without a size": [(322, [0]), (323, [16]), (324, [8]), (325, [9])],
        "without a width": [(256, [0])],
    }
    for words, tags in lots.items():
        assert words in refusal(tiff_of([plane], tags=tags))
    assert "1001 entries" in refusal(directory(1001))
    assert "long values" in refusal(directory(900, count=1_000_000) + bytes(1_000_000))  # they overlap
    assert "long values" in refusal(directory(1, kind=4, count=2_000_000) + bytes(8_000_000))
    assert "10000 pages" in refusal(pages(10_001))


def test_the_audit_lists_a_picture_that_lacks_pixels(tmp_path):
    for number in range(3):
        (tmp_path / "benign").mkdir(exist_ok=True)
        Image.fromarray(np.roll(COLOR, 31 * number, axis=0)).save(tmp_path / "benign" / f"{number}.png")
    (tmp_path / "benign" / "half.png").write_bytes(short_png(100))
    whole = encoded("JPEG", COLOR)
    (tmp_path / "benign" / "half.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    audit = audit_folder(tmp_path, read_folder(tmp_path, {}), progress=False)
    assert audit.problems["unreadable"] == ["benign/half.jpg", "benign/half.png"]


def test_a_spare_restart_at_the_end_is_accepted():
    whole = encoded("JPEG", COLOR, restart_marker_rows=1)
    last = max(data_ends(whole, RESTART_ENDS))
    following = bytes([0xFF, 0xD0 + (whole[last + 1] - 0xD0 + 1) % 8])
    assert check(whole[:-2] + following + whole[-2:]) == ()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
def test_notes_of_a_camera_that_are_damaged_do_not_matter():
    whole = encoded("JPEG", COLOR)
    cut = directory(3, kind=4, count=2_000_000)[:30]
    in_a_circle = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 34665, 4, 1, 8, 8)
    for notes in (cut, in_a_circle, b"II*\0", directory(3, kind=4, count=2_000_000, at=5)):
        assert check(whole[:2] + notes_segment(notes) + whole[2:]) == ()
