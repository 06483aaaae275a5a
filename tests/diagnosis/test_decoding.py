"""Files are decoded in child processes: none of them stops or exhausts the program, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from bad_files import PATIENT, dicom, encoded, make_bad_files, picture, video
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.reading import read_frames

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process")


@pytest.fixture
def large(tmp_path):
    """An ordinary picture of 9 million pixels, which takes 36 MB and a tenth of a second."""
    file = tmp_path / f"{PATIENT}.png"
    Image.fromarray(picture(side=3000)).save(file, compress_level=1)
    return file


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.png").write_bytes(encoded("PNG"))
    return tmp_path / "small.png"


def refusal(decoders, path, **options):
    with pytest.raises(UserError) as caught:
        list(decoders.read(path, **options)[1])
    return str(caught.value)


def processes_of(parent):
    """List the decoding processes that run for a process, zombies left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, of = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(of) == parent and state != "Z" and b"decoding_child" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def are_gone(processes):
    """Wait until processes have ended, or for ten seconds."""
    for _ in range(200):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.05)
    return False


def test_a_child_gives_the_frames_that_this_process_would_read(decoders, tmp_path):
    files = {
        "a.png": encoded("PNG"),
        "deep.tif": encoded("TIFF", picture(channels=1).astype(np.uint16) * 16),
        "pages.tif": encoded("TIFF", save_all=True, append_images=[Image.fromarray(picture(k)) for k in range(3)]),
        "a.avi": video(tmp_path / "v.avi", frames=4),
        "a.dcm": dicom(picture(channels=1).tobytes() * 2, NumberOfFrames=2, PixelSpacing=[0.1, 0.2]),
        "\udcf6\n.jpeg": encoded("JPEG"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        expected = list(read_frames(tmp_path / name))
        number, frames = decoders.read(tmp_path / name)
        assert number == len(expected)
        for frame, other in zip(frames, expected, strict=True):
            assert np.array_equal(frame.image, other.image)
            assert (frame.number, frame.spacing_mm) == (other.number, other.spacing_mm)
            assert frame.image.flags.c_contiguous
