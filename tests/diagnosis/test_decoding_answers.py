"""An answer of a decoding process that no reader gives is one clear line, whatever a hostile file makes it send."""

import socket
import threading
from contextlib import closing

import pytest
from decoding_children import ANY

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.channel import BrokenChannelError, Channel
from bus_lightning.diagnosis.decoding import Reading
from bus_lightning.diagnosis.frames import LARGE, Limits


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


def test_a_channel_takes_only_records():
    for data in (b"", b"\0\0\0\5", b"\xff" * 8, b"\0\0\0\2[]", b"\0\0\0\3abc", b"\0\0\xf0\0" + b"[" * 61440):
        own_end, other_end = socket.socketpair()
        other_end.sendall(data)
        other_end.close()
        with closing(Channel(own_end)) as channel, pytest.raises(BrokenChannelError):
            channel.receive()
