"""A video that is shorter than it says is not answered, however little of it is missing."""

import pytest
from drawn_files import video

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.reading import read_frames

CODES = {"avi": "MJPG", "mp4": "mp4v", "mov": "mp4v"}


def with_index_first(clip):
    """Move the index of an MP4 in front of its images, as for the web; its offsets are counted from the start."""
    index, images = clip.index(b"moov") - 4, clip.index(b"mdat") - 4
    moved = bytearray(clip[index:])
    place = moved.index(b"stco") + 8
    for start in range(place + 4, place + 4 + 4 * int.from_bytes(moved[place : place + 4], "big"), 4):
        moved[start : start + 4] = (int.from_bytes(moved[start : start + 4], "big") + len(moved)).to_bytes(4, "big")
    return clip[:images] + bytes(moved) + clip[images:index]


def read(path, content):
    path.write_bytes(content)
    return len(list(read_frames(path)))


@pytest.mark.parametrize("missing", [1, 100, 0.02])
@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_a_video_without_its_last_bytes_is_refused(tmp_path, ending, missing):
    clip = video(tmp_path / f"v.{ending}", frames=40, code=CODES[ending])
    clip = with_index_first(clip) if ending == "mp4" else clip
    assert read(tmp_path / "a", clip) == 40
    kept = len(clip) - (missing if isinstance(missing, int) else int(missing * len(clip)))
    with pytest.raises(UserError, match=f"is cut off: it has {kept} bytes and needs {len(clip)} or more"):
        read(tmp_path / "a", clip[:kept])


@pytest.mark.parametrize("ending", CODES)
@pytest.mark.parametrize("added", [b"\0", b"\0" * 1000, b"a note of another program"])
def test_bytes_after_a_video_do_no_harm(tmp_path, ending, added):
    assert read(tmp_path / "a", video(tmp_path / f"v.{ending}", frames=5, code=CODES[ending]) + added) == 5


@pytest.mark.parametrize("stated", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_an_avi_whose_size_was_never_written_is_read(tmp_path, stated):
    clip = video(tmp_path / "v.avi", frames=5, code="MJPG")
    assert read(tmp_path / "a", clip[:4] + stated + clip[8:]) == 5


def test_every_part_of_a_long_avi_is_measured(tmp_path):
    clip = video(tmp_path / "v.avi", frames=5, code="MJPG")
    part = b"RIFF" + (104).to_bytes(4, "little") + b"AVIX" + b"JUNK" + (92).to_bytes(4, "little") + bytes(92)
    assert read(tmp_path / "a", clip + part) == 5
    with pytest.raises(UserError, match="is cut off"):
        read(tmp_path / "a", clip + part[:-1])
