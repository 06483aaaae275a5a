"""Files are decoded in child processes: none of them stops or exhausts the program, and nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from bad_files import make_bad_files
from drawn_files import PATIENT, dicom, encoded, picture, video
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis import decoding_child
from bus_lightning.diagnosis.channel import BrokenChannelError, Channel
from bus_lightning.diagnosis.decoding import Decoders, Reading
from bus_lightning.diagnosis.frames import LARGE, Limits
from bus_lightning.diagnosis.reading import read_frames

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="asks Linux about processes, and only it bounds their memory"
)
ANY = Limits()
WAIT = 60  # seconds that end a hang


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.png").write_bytes(encoded("PNG"))
    return tmp_path / "small.png"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An ordinary picture of 9 million pixels, which takes more than 36 MB and a few hundredths of a second."""
    file = tmp_path_factory.mktemp("large") / f"{PATIENT}.png"
    Image.fromarray(picture(side=3000)).save(file, compress_level=1)
    return file


def refusal(decoders, path, limits=ANY, **options):
    with pytest.raises(UserError) as caught:
        list(decoders.read(path, limits, **options)[1])
    line = str(caught.value)
    assert PATIENT not in line
    assert "\n" not in line
    return line


def wait_until(is_so):
    for _ in range(20 * WAIT):
        if is_so():
            return True
        time.sleep(0.05)
    return False


def are_gone(processes):
    return wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


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
                "Decoding an image takes more than 20 MB of memory: make it smaller, or raise --decode-mb."
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
            "Decoding an image takes more than 0.001 s: make it smaller, or raise --decode-seconds."
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
        with pytest.raises(UserError, match="ended its decoder"):
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


class Answers:
    """A pool with one child, which answers as a hostile file could make it answer."""

    seconds, memory_mb, is_closed, given_back = 10.0, 400, False, None

    def __init__(self, *answers):
        self.answers = [*answers]
        self.channel, self.large = self, threading.Semaphore(1)

    def take(self, check):
        return self

    def give_back(self, child, is_ready):
        self.given_back = is_ready

    def send(self, record, data=b""):
        pass

    def receive(self, check):
        return self.answers.pop(0)

    def fill(self, buffer, check):
        buffer[:] = bytes(len(buffer))


class Soon:
    """A visitor who leaves after a few checks."""

    checks = 0

    def is_set(self):
        self.checks += 1
        return self.checks > 5


FRAME = {"shape": [20, 20], "number": None, "spacing_mm": None}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"images": -1},
        {"images": 10**6},
        {"images": "1"},
        {"failure": ["no line"]},
        {"failure": "two\nlines"},
        {"failure": "\x1b[31m"},
        {"failure": "x" * 1000},
        FRAME | {"shape": [20]},
        FRAME | {"shape": [20, 20.5]},
        FRAME | {"shape": [2, 20]},
        FRAME | {"shape": [-20, 20]},
        FRAME | {"shape": [10**6, 10**6]},
        FRAME | {"number": "0"},
        FRAME | {"spacing_mm": [0.1]},
        FRAME | {"spacing_mm": [0.1, float("inf")]},
        FRAME | {"spacing_mm": [float("nan"), 0.1]},
        FRAME | {"spacing_mm": [0, 0.1]},
        FRAME | {"doubts": "incomplete"},
        FRAME | {"doubts": ["<b>"]},
        FRAME | {"other": 1},
    ],
)
def test_an_answer_that_no_reader_gives_is_one_clear_line(answer):
    pool = Answers(answer)
    with pytest.raises(UserError) as caught:
        next(Reading(pool, Limits(), None))
    assert str(caught.value).isprintable()
    assert pool.given_back is ("failure" in answer)  # a child whose images make no sense is ended


def test_a_large_image_waits_until_another_reading_is_closed():
    large = FRAME | {"shape": [1000, LARGE // 1000 + 1]}
    first, second, third = (Reading(Answers(large), ANY, stop) for stop in (None, Soon(), None))
    for reading in (second, third):
        reading._decoders.large = first._decoders.large
    assert next(first).image.size > 3 * LARGE
    with pytest.raises(UserError, match="stopped"):
        next(second)
    first.close()
    assert next(third).image.size > 3 * LARGE


def test_a_correct_answer_is_accepted():
    pool = Answers(FRAME | {"spacing_mm": [0.1, 1]}, {"end": True})
    (frame,) = Reading(pool, Limits(), None)
    assert (frame.image.shape, frame.spacing_mm, pool.given_back) == ((20, 20, 3), (0.1, 1.0), True)


# What is left.


@LINUX
def test_a_reading_that_is_closed_early_frees_its_child_and_its_file(tmp_path):
    pages = [Image.fromarray(picture(k)) for k in range(3)]
    (tmp_path / "a.tif").write_bytes(encoded("TIFF", save_all=True, append_images=pages))
    with Decoders() as decoders:
        number, frames = decoders.read(tmp_path / "a.tif")
        assert number == 4
        next(frames)
        (child,) = decoders._children
        open_files = Path(f"/proc/{child._process.pid}/fd")

        def is_open():
            for link in open_files.iterdir():
                with suppress(FileNotFoundError):  # the child has closed it meanwhile
                    if link.readlink() == tmp_path / "a.tif":
                        return True
            return False

        assert is_open()
        frames.close()
        assert wait_until(lambda: not is_open())
        assert len(list(decoders.read(tmp_path / "a.tif")[1])) == 4
        next(decoders.read(tmp_path / "a.tif")[1])  # and one that is given up without being closed
        assert len(list(decoders.read(tmp_path / "a.tif")[1])) == 4
        assert decoders._children == {child}  # the same child


def test_a_visitor_who_leaves_frees_the_child_for_others(small, large):
    with Decoders() as decoders:
        _, held = decoders.read(small)  # the only child
        stop = threading.Event()
        lines = []
        waiting = threading.Thread(target=lambda: lines.append(refusal(decoders, large, stop=stop)))
        waiting.start()
        stop.set()
        waiting.join(WAIT)
        assert "stopped" in lines[0]
        assert len(list(held)) == 1
        assert "stopped" in refusal(decoders, large, stop=stop)
        assert len(list(decoders.read(small)[1])) == 1


@LINUX
def test_closing_ends_all_children_also_those_that_are_decoding(large):
    decoders = Decoders(2)
    children = [child._process.pid for child in decoders._children]
    lines, begun = [], threading.Event()

    def read_again_and_again():
        try:
            while True:
                list(decoders.read(large)[1])
                begun.set()
        except UserError as error:
            lines.append(str(error))

    reader = threading.Thread(target=read_again_and_again)
    reader.start()
    assert begun.wait(WAIT)
    decoders.close()
    reader.join(WAIT)
    assert "stopped" in lines[0]
    assert are_gone(children)
    assert "stopped" in refusal(decoders, large)


HANGING = """
import sys, time
from pathlib import Path
from bus_lightning.diagnosis.decoding import Decoders
decoders = Decoders(2, seconds=1000)
number, frames = decoders.read(Path(sys.argv[1]))
print(*(child._process.pid for child in decoders._children), flush=True)
while True:
    next(decoders.read(Path(sys.argv[1]))[1])
"""


@LINUX
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_the_program_however_it_ends(large, sent):
    command = [sys.executable, "-c", HANGING, large]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment()
    )
    children = [int(number) for number in program.stdout.readline().split()]
    assert len(children) == 2
    end = time.monotonic() + WAIT
    for child in children:  # the second one may still be starting
        while "Max core file size        0 " not in Path(f"/proc/{child}/limits").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
    time.sleep(0.5)  # the rest of its start
    for child in children:
        os.kill(child, signal.SIGSTOP)  # as if a decoder took forever
    program.send_signal(sent)
    program.wait(WAIT)
    program.stdout.close()
    assert are_gone(children)


def test_a_channel_takes_only_records():
    for data in (b"", b"\0\0\0\5", b"\xff" * 8, b"\0\0\0\2[]", b"\0\0\0\3abc", b"\0\0\xf0\0" + b"[" * 61440):
        own_end, other_end = socket.socketpair()
        other_end.sendall(data)
        other_end.close()
        with closing(Channel(own_end)) as channel, pytest.raises(BrokenChannelError):
            channel.receive()
