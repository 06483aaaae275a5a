"""The streams of a video are counted before any is decoded."""

import pytest
from drawn_files import video

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.reading import read_frames


def with_tracks(clip, number):
    """Repeat the only track of an MP4, whose index follows its images, so that it has as many tracks."""
    index, track = clip.index(b"moov") - 4, clip.index(b"trak") - 4
    assert index > clip.index(b"mdat")
    end = track + int.from_bytes(clip[track : track + 4], "big")
    added = clip[track:end] * (number - 1)
    size = int.from_bytes(clip[index : index + 4], "big") + len(added)
    return clip[:index] + size.to_bytes(4, "big") + clip[index + 4 : end] + added + clip[end:]


def test_a_video_of_very_many_streams_is_refused(tmp_path):
    clip = video(tmp_path / "v.mp4", frames=5, code="mp4v")
    for number in (1, 4):
        (tmp_path / "a.mp4").write_bytes(with_tracks(clip, number))
        assert len(list(read_frames(tmp_path / "a.mp4"))) == 5
    (tmp_path / "a.mp4").write_bytes(with_tracks(clip, 40))
    with pytest.raises(UserError, match="video cannot be decoded"):
        list(read_frames(tmp_path / "a.mp4"))
