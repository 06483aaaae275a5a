"""Reading pictures, DICOM and video: what is right is read as it is, what is wrong gets one line and no memory."""

import errno
import os
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
from bad_files import make_bad_files
from drawn_files import PATIENT, SIDE, count_frames, dicom, encoded, picture, tiff, video
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.reading import find_files, fingerprint, read_frames

ROOT = Path(__file__).parents[2]
GREY = picture(channels=1)
DEEP = GREY.astype(np.uint16)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    return make_bad_files(tmp_path_factory.mktemp("bad") / "files")


@pytest.fixture
def read(tmp_path):
    """Write bytes into a file and read its pictures."""

    def make(data, name=f"{PATIENT}.png", limits=None):
        path = tmp_path / name
        path.write_bytes(data)
        frames = list(read_frames(path, limits or Limits()))
        assert count_frames(path) == len(frames)
        for frame in frames:
            assert frame.image.dtype == np.uint8
            assert frame.image.shape[2:] == (3,)
            assert frame.image.flags.c_contiguous
        return frames

    return make


def refusal(path, limits=None):
    with pytest.raises(UserError) as caught:
        list(read_frames(path, limits or Limits()))
    return caught.value


def test_every_bad_file_gets_one_clear_line_that_names_nobody(bad, capfd, caplog):
    caplog.set_level("DEBUG")
    assert len(bad) > 100
    for path, words in bad.items():
        error = refusal(path)
        line = str(error)
        assert words in line, path
        assert "\n" not in line, path
        assert ": " in line, path  # what is wrong: what to do
        assert line.endswith("."), path
        assert PATIENT not in line + "".join(traceback.format_exception(error)), path
    out, err = capfd.readouterr()
    assert (out, err, caplog.text) == ("", "", "")


READ_ALL = """
import logging, sys, time
logging.basicConfig(level=0)  # what libraries log would come to stderr
sys.path[:0] = ["tests", "."]
from pathlib import Path
from bad_files import make_bad_files
from bus_lightning.diagnosis.reading import read_frames
from bus_lightning.core.errors import UserError
for path in make_bad_files(Path(sys.argv[1])):
    try:
        list(read_frames(path))
    except UserError:
        continue
    raise SystemExit(f"{path} was read")
heavy = {"torch", "pandas", "scipy", "matplotlib", "hydra"} & set(sys.modules)
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(peak, *heavy)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak memory")
def test_all_bad_files_together_need_little_memory_and_no_training_library(tmp_path):
    command = [sys.executable, "-c", READ_ALL, str(tmp_path / "bad")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    peak, *heavy = done.stdout.split()
    assert float(peak) < 200  # megabytes; the interpreter and its libraries are 70 of them
    assert heavy == []


def test_limits_hold_for_every_kind(tmp_path):
    pages = {"save_all": True, "append_images": [Image.fromarray(picture(k)) for k in range(3)]}
    files = {
        "a.tif": encoded("TIFF", **pages),
        "a.png": encoded("PNG", **pages),
        "a.avi": video(tmp_path / "v.avi", frames=4),
        "a.dcm": dicom(GREY.tobytes() * 4, NumberOfFrames=4),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        assert len(list(read_frames(tmp_path / name))) == count_frames(tmp_path / name) == 4, name
        assert "more than 3" in str(refusal(tmp_path / name, Limits(frames=3))), name
        assert "make it smaller" in str(refusal(tmp_path / name, Limits(pixels=2000))), name
        with pytest.raises(UserError, match="make it smaller"):
            count_frames(tmp_path / name, Limits(pixels=2000))  # by the header alone
        assert "make it smaller" in str(refusal(tmp_path / name, Limits(file_bytes=500))), name


def test_all_pages_are_measured_before_the_first_is_decoded(tmp_path):
    second = Image.fromarray(picture(side=100))
    (tmp_path / "a.tif").write_bytes(encoded("TIFF", save_all=True, append_images=[second]))
    with pytest.raises(UserError, match="100 x 100"):
        next(read_frames(tmp_path / "a.tif", Limits(pixels=5000)))


@pytest.mark.parametrize(("code", "words"), [(errno.EACCES, "permissions"), (errno.EIO, "another disk")])
def test_a_file_that_may_not_be_opened_says_so(tmp_path, monkeypatch, code, words):
    path = tmp_path / f"{PATIENT}.png"
    path.write_bytes(encoded("PNG"))

    def deny(name, *_):
        raise OSError(code, "no", name)

    monkeypatch.setattr(os, "open", deny)
    error = refusal(path)
    assert words in str(error)
    assert PATIENT not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"big_tiff": True})],
)
def test_lossless_pictures_are_read_exactly_whatever_their_ending(read, kind, options):
    (frame,) = read(encoded(kind, **options), "乳腺\n超声.jpeg")
    assert np.array_equal(frame.image, picture())
    assert frame.number is None
    assert frame.spacing_mm is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pictures_are_decoded_as_in_training(read, tmp_path, mode):
    image = Image.fromarray(picture()).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(GREY))
    image.save(tmp_path / "a.png")
    (frame,) = read((tmp_path / "a.png").read_bytes())
    assert np.array_equal(frame.image, read_image(tmp_path / "a.png"))


def test_jpegs_of_all_colours_are_read(read):
    image = Image.fromarray(picture())
    previews = {"save_all": True, "append_images": [image.resize((20, 20))]}
    for data in (encoded("JPEG"), encoded("JPEG", image.convert("CMYK")), encoded("MPO", **previews)):
        (frame,) = read(data)
        assert np.abs(frame.image.astype(int) - picture()).mean() < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_orientation_of_the_camera_is_applied(read, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    wide = picture()[:30]
    (frame,) = read(encoded(kind, wide, exif=exif))
    assert frame.image.shape == (SIDE, 30, 3)
    assert np.abs(frame.image.astype(int) - np.rot90(wide, -1)).mean() < 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("factor", [1, 16, 256])
def test_levels_of_16_bits_keep_their_contrast(read, kind, factor):
    (frame,) = read(encoded(kind, DEEP * factor))
    assert np.array_equal(frame.image, np.repeat(GREY[..., None], 3, axis=2))


def test_levels_of_tiff_are_read_in_their_sense(read):
    whole = np.repeat(GREY[..., None], 3, axis=2)
    white_is_zero = tiff(SIDE, SIDE, (65535 - DEEP * 257).astype("<u2").tobytes(), bits=16, photometric=0)
    floats = GREY.astype("<f4")
    for data in (white_is_zero, encoded("TIFF", floats), encoded("TIFF", floats / 255)):
        (frame,) = read(data)
        assert np.array_equal(frame.image, whole)


def test_pages_and_animations_are_frames_in_order(read):
    pictures = [picture(k) for k in range(4)]
    others = {"save_all": True, "append_images": [Image.fromarray(array) for array in pictures[1:]]}
    for kind in ("TIFF", "PNG"):
        frames = read(encoded(kind, pictures[0], **others))
        assert [frame.number for frame in frames] == [0, 1, 2, 3]
        assert all(np.array_equal(frame.image, array) for frame, array in zip(frames, pictures, strict=True))


@pytest.mark.parametrize(("ending", "code"), [("mp4", "mp4v"), ("avi", "MJPG")])
def test_video_gives_its_pictures_in_order_and_colour(read, tmp_path, ending, code):
    frames = read(video(tmp_path / f"v.{ending}", code=code, frames=12), f"clip.{ending}")
    assert [frame.number for frame in frames] == list(range(12))
    for k, frame in enumerate(frames):  # the drawing takes BGR
        assert np.abs(frame.image[..., ::-1].astype(int) - picture(k)).mean() < 25
        assert np.corrcoef(frame.image[..., ::-1].ravel(), picture(k).ravel())[0, 1] > 0.9


def test_reading_that_is_given_up_leaves_no_file_open(tmp_path):
    for name, data in {
        "a.avi": video(tmp_path / "v.avi"),
        "a.dcm": dicom(GREY.tobytes() * 3, NumberOfFrames=3),
    }.items():
        (tmp_path / name).write_bytes(data)
        before = len(list(Path("/proc/self/fd").iterdir()))
        frames = read_frames(tmp_path / name)
        next(frames)
        frames.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_folders_are_searched_and_files_are_taken_as_named(tmp_path):
    folder = tmp_path / "clinic"
    (folder / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("2.PNG", "1.jpg", "b/3.dcm", "b/notes.txt", ".hidden/4.png", ".5.png", "thumbs.db", "b/DICOMDIR"):
        (folder / name).write_bytes(b"x")
    for name in ("IM_0001", "1.2.840.113", "b/DICOMDIR"):
        (folder / name).write_bytes(dicom())
    (folder / "b" / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    inside = [folder / name for name in ("1.2.840.113", "1.jpg", "2.PNG", "IM_0001", "b/3.dcm")]
    named = [tmp_path / "missing.png", folder / "b" / "notes.txt", tmp_path / "empty", folder, folder / "1.jpg"]
    assert find_files(named) == [*named[:3], *inside]


def test_a_file_is_listed_once_however_its_path_is_written_and_a_link_is_a_file_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "in" / "link.png").symlink_to("a.png")
    (tmp_path / "linked").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    first, link = Path("in/a.png"), Path("in/link.png")
    assert find_files([first, tmp_path / first, Path("in/../in/a.png"), Path("linked/a.png"), Path("in")]) == [
        first,
        link,
    ]


def test_a_folder_that_may_not_be_read_is_listed_to_say_so(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    scandir = os.scandir

    def deny(path):
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "no", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert find_files([tmp_path]) == [tmp_path / "a.png", tmp_path / "closed"]
    assert "not allowed to read" in str(refusal(tmp_path / "closed"))


def test_the_fingerprint_is_of_the_content_alone(tmp_path):
    for name, data in (("a", b"abc"), ("b", b"abc"), ("c", b"abd")):
        (tmp_path / name).write_bytes(data)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") == "ba7816bf8f01"
    assert fingerprint(tmp_path / "c") != fingerprint(tmp_path / "a")
    with pytest.raises(UserError, match="does not exist"):
        fingerprint(tmp_path / "d")
