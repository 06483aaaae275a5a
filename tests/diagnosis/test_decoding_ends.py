"""A reading that is closed, a visitor who leaves, and a program that ends leave no decoding process behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from decoding_children import (
    LINUX,
    ROOT,
    WAIT,
    are_gone,
    environment,
    large_picture,
    refusal,
    small_picture,
    wait_until,
)
from drawn_files import encoded, picture
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.decoding_process import DecodingProcess


@pytest.fixture
def small(tmp_path):
    return small_picture(tmp_path)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return large_picture(tmp_path_factory.mktemp("large"))


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


@pytest.mark.parametrize("step", ["is_alive", "wait_until_ready"])
def test_a_pool_that_is_closed_while_a_reading_takes_a_child_says_that_it_stopped(small, monkeypatch, step):
    decoders, real = Decoders(), getattr(DecodingProcess, step)

    def close_and_go_on(self, *checks):
        if not checks:
            decoders.close()
            self._process.wait()
            return real(self)
        (check,) = checks

        def check_and_close():
            check()
            decoders.close()  # so the child is killed after the last check

        return real(self, check_and_close)

    monkeypatch.setattr(DecodingProcess, step, close_and_go_on)
    assert "stopped" in refusal(decoders, small)


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
