"""Files are decoded in child processes: as this process would read them, within limits of memory, time and rights."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bad_files import make_bad_files
from decoding_children import LINUX, ROOT, WAIT, environment, large_picture, refusal, small_picture
from drawn_files import dicom, encoded, picture, video
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis import decoding_child
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.reading import read_frames


@pytest.fixture
def small(tmp_path):
    return small_picture(tmp_path)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return large_picture(tmp_path_factory.mktemp("large"))


# What is read.


def test_a_child_gives_the_frames_that_this_process_would_read(decoders, tmp_path):
    pages = [Image.fromarray(picture(k)) for k in range(3)]
    files = {
        "a.png": encoded("PNG"),
        "deep.tif": encoded("TIFF", picture(channels=1).astype(np.uint16) * 16),
        "pages.tif": encoded("TIFF", save_all=True, append_images=pages),
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
            assert vars(frame).keys() == vars(other).keys()
            assert all(value == vars(other)[name] for name, value in vars(frame).items() if name != "image")
            assert frame.image.flags.c_contiguous
            assert frame.image.flags.writeable


def test_every_bad_file_gets_the_line_that_it_gets_in_this_process(decoders, tmp_path):
    for path in make_bad_files(tmp_path / "bad"):
        with pytest.raises(UserError) as caught:
            list(read_frames(path))
        assert refusal(decoders, path) == str(caught.value)


def test_limits_and_the_working_folder_are_those_of_this_process(decoders, small, monkeypatch):
    monkeypatch.chdir(small.parent)
    assert len(list(decoders.read(Path("small.png"))[1])) == 1
    assert "make it smaller" in refusal(decoders, Path("small.png"), Limits(pixels=2000))
    assert "does not exist" in refusal(decoders, Path("missing.png"))


def test_many_threads_read_the_same_with_few_children(tmp_path, together):
    (tmp_path / "a.dcm").write_bytes(dicom())
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    with Decoders(2) as decoders:

        def job():
            return [next(decoders.read(tmp_path / name)[1]).image for name in ("a.dcm", "a.png") * 5]

        for images in together(job, 8):
            assert all(np.array_equal(image, images[k % 2]) for k, image in enumerate(images))
        assert len(decoders._children) == 2


# What a file may take.


@LINUX
def test_a_file_that_needs_too_much_memory_is_refused_and_the_next_one_is_read(small, large):
    with Decoders(memory_mb=20) as decoders:
        for _ in range(2):
            assert refusal(decoders, large) == (
                "Decoding an image takes more than 20 MB of memory: make it smaller, or raise --decode-mb (in Python, "
                "decode_mb)."
            )
            assert len(list(decoders.read(small)[1])) == 1
    with Decoders(memory_mb=200) as decoders:
        assert len(list(decoders.read(large)[1])) == 1


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_is_read(decoders, small, large):
    list(decoders.read(small)[1])  # the child has started
    before = decoders.seconds
    try:
        decoders.seconds = 0.001
        assert refusal(decoders, large) == (
            "Decoding an image takes more than 0.001 s: make it smaller, or raise --decode-seconds (in Python, "
            "decode_seconds)."
        )
    finally:
        decoders.seconds = before
    assert len(list(decoders.read(small)[1])) == 1


def test_the_time_is_for_each_image_and_not_for_the_file(decoders, tmp_path):
    pages = [Image.fromarray(picture(k)) for k in range(3)]
    (tmp_path / "a.tif").write_bytes(encoded("TIFF", save_all=True, append_images=pages))
    _, frames = decoders.read(tmp_path / "a.tif")
    next(frames)
    frames._deadline = 0  # long ago, as after a long pause of the caller
    assert len(list(frames)) == 3


@LINUX
def test_a_child_that_dies_costs_only_its_file(small):
    with Decoders() as decoders:
        number, frames = decoders.read(small)
        (child,) = decoders._children
        os.kill(child._process.pid, signal.SIGKILL)
        with pytest.raises(UserError, match="decoder crashed"):
            next(frames)
        assert len(list(decoders.read(small)[1])) == number == 1
        (child,) = decoders._children
        os.kill(child._process.pid, signal.SIGKILL)  # while it waits for a file
        child._process.wait()
        assert len(list(decoders.read(small)[1])) == 1


# What a child may do.


def test_a_child_has_neither_the_engine_nor_the_page_nor_the_main_module(tmp_path, small):
    code = ("import sys; print('imported', flush=True)\n"
            "from pathlib import Path; from bus_lightning.diagnosis.decoding import Decoders\n"
            "with Decoders() as decoders: print(len(list(decoders.read(Path(sys.argv[1]))[1])))")  # fmt: skip
    (tmp_path / "script.py").write_text(code)  # without a guard against being imported
    command = [sys.executable, tmp_path / "script.py", small]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=WAIT)
    assert (printed.stdout.split(), printed.stderr) == (["imported", "1"], "")
    code = f"import sys; import {decoding_child.__name__}, bus_lightning.diagnosis.dicom; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert not {"torch", "openvino", "gradio", "pandas", "scipy"} & set(modules.split())


@LINUX
def test_a_child_writes_no_file_and_no_core_and_ignores_ctrl_c(small):
    with Decoders() as decoders:
        list(decoders.read(small)[1])
        (child,) = decoders._children
        process = Path(f"/proc/{child._process.pid}")
        limits = (process / "limits").read_text().splitlines()
        for name in ("Max core file size", "Max file size"):
            (line,) = [line for line in limits if line.startswith(name)]
            assert line.removeprefix(name).split()[:2] == ["0", "0"]
        assert os.getsid(child._process.pid) != os.getsid(0)
        assert all((process / "fd" / number).readlink() == Path(os.devnull) for number in "12")
        assert "Threads:\t1\n" in (process / "status").read_text()
