"""Read files in child processes with a bounded memory and time, so that no file can stop or exhaust this process."""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.diagnosis.channel import OUT_OF_MEMORY, BrokenChannelError, Channel
from bus_lightning.diagnosis.decoding_process import NOT_STARTED, TICK, DecodingProcess
from bus_lightning.diagnosis.frames import FILE_DOUBTS, LARGE, Frame, Limits
from bus_lightning.diagnosis.options import DECODE_MB, DECODE_SECONDS

_LIMITS = Limits()
_LONGEST_LINE = 500
_STOPPED = "The reading was stopped before its end: give the file again."
_CRASHED = "The decoder crashed: the file is damaged or needs too much memory. Save it as a PNG of 8 bits."


class Decoders:
    """A pool of child processes that read files; several threads may use it at once.

    A child bounds what a file can do: one that takes too much memory or time, or that crashes its decoder, ends only
    the child, and the next file gets a new one. A large image is given only when no other open reading has given one.
    Close the pool to end its children; they also end with this process.

    Args:
        number: Children, and so files that are read at once.
        memory_mb: Memory that a child may allocate, in megabytes; only Linux enforces it.
        seconds: Time for a file's header, and for each of its images.
    """

    def __init__(self, number: int = 1, memory_mb: int = DECODE_MB, seconds: float = DECODE_SECONDS) -> None:
        self.memory_mb, self.seconds, self.is_closed = memory_mb, seconds, False
        self._lock = threading.RLock()  # `Reading.__del__` may come at any moment
        self.large = threading.Semaphore(1)
        self._children: set[DecodingProcess] = set()
        self._free: queue.SimpleQueue[DecodingProcess | None] = queue.SimpleQueue()
        for _ in range(number):
            self._free.put(self._start())  # it imports the readers while this process goes on

    def read(
        self, path: Path, limits: Limits = _LIMITS, scale: Scale = OWN_SCALE, stop: threading.Event | None = None
    ) -> tuple[int, "Reading"]:
        """Read a file's header when a child is free; see `read_frames` for the arguments.

        Args:
            path: The file.
            limits: The largest file that is read.
            scale: That of the training images.
            stop: Another thread may set it to end the reading, for example because the visitor has left.

        Returns:
            The number of images that the header states, and an iterator that decodes one after another.

        Raises:
            UserError: In one line without the file's name, when anything is wrong with it; the iterator raises it, too.
        """
        reading = Reading(self, limits, stop)
        return reading.open(path, scale), reading

    def close(self) -> None:
        """End all children, also those that are decoding."""
        with self._lock:
            self.is_closed = True
            for child in self._children:
                child.kill()
        with suppress(queue.Empty):
            while True:
                self._end(self._free.get_nowait())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def take(self, check: Callable[[], None]) -> DecodingProcess:
        """Wait for a free child; `check` is called again and again, and may raise to end that."""
        child = self._wait(check)
        try:
            if child is None or not child.is_alive():
                child = self._replace(child)
            if child is None:
                check()  # the pool may have been closed since
                raise UserError(NOT_STARTED)
            child.wait_until_ready(check)
        except BaseException:
            self.give_back(child, is_ready=False)
            raise
        return child

    def give_back(self, child: DecodingProcess | None, is_ready: bool) -> None:
        """Take a child back, and replace it if it is not ready for another file."""
        with self._lock:  # `close` ends only the children that it finds
            if is_ready and not self.is_closed:
                self._free.put(child)
                return
        self._free.put(self._replace(child))

    def _wait(self, check: Callable[[], None]) -> DecodingProcess | None:
        while True:
            check()
            with suppress(queue.Empty):
                return self._free.get(timeout=TICK)

    def _replace(self, child: DecodingProcess | None) -> DecodingProcess | None:
        self._end(child)
        return self._start()

    def _start(self) -> DecodingProcess | None:
        """Start a child, which is ready a moment later; None if that is not possible now."""
        with self._lock, suppress(OSError):
            if not self.is_closed:
                child = DecodingProcess(self.memory_mb)
                self._children.add(child)
                return child
        return None

    def _end(self, child: DecodingProcess | None) -> None:
        if child is not None:
            child.end()
            with self._lock:
                self._children.discard(child)


class Reading(Iterator[Frame]):
    """The images of a file, each decoded when it is asked for; it has a child until its end or `close`."""

    def __init__(self, decoders: Decoders, limits: Limits, stop: threading.Event | None) -> None:
        self._decoders, self._limits, self._stop = decoders, limits, stop
        self._deadline, self._is_large = math.inf, False
        self._child: DecodingProcess | None = None
        self._child = decoders.take(self._check)

    def open(self, path: Path, scale: Scale) -> int:
        """Open the file, and return the number of images that its header states."""
        # The path is absolute because the child has its own working folder.
        request = {"path": str(path.absolute()), "limits": asdict(self._limits), "scale": asdict(scale)}
        number = self._ask(request)
        return number if isinstance(number, int) else 0

    def __next__(self) -> Frame:
        if self._child is None:
            raise StopIteration
        frame = self._ask({})
        if not isinstance(frame, Frame):
            self._release(is_ready=True)
            raise StopIteration
        return frame

    def close(self) -> None:
        """Close the file and free the child."""
        if self._child is not None:
            is_ready = False
            with suppress(BrokenChannelError):
                self._child.channel.send({"close": True})
                is_ready = True
            self._release(is_ready)

    def __del__(self) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> int | Frame | None:
        """Send a request, and return the answer: a number of images, a frame, or None at the end of the file."""
        child = self._child
        assert child is not None
        self._deadline = time.monotonic() + self._decoders.seconds
        is_ready = False
        try:
            child.channel.send(request)
            answer = child.channel.receive(self._check)
            if "failure" in answer:
                is_ready = True
                raise UserError(self._line(answer["failure"]))
            return self._understand(answer, child.channel)
        except BrokenChannelError:
            self._release(is_ready)
            raise UserError(_STOPPED if self._decoders.is_closed else _CRASHED) from None
        except BaseException:
            self._release(is_ready)
            raise

    def _understand(self, answer: dict[str, Any], channel: Channel) -> int | Frame | None:
        """Check every value of an answer, because a damaged file may have taken over its decoder."""
        match answer:
            case {"images": int(images)} if 0 <= images <= self._limits.frames:
                return images
            case {"end": True}:
                return None
            case {"shape": [int(height), int(width)], **values} if values.keys() <= _VALUES.keys():
                self._limits.check_size(width, height)
                if height * width > LARGE:
                    self._wait_for_others()
                image = np.empty((height, width, 3), np.uint8)
                channel.fill(image.data.cast("B"), self._check)
                return Frame(image, **{name: _VALUES[name](value) for name, value in values.items()})
        raise BrokenChannelError

    def _wait_for_others(self) -> None:
        """Wait until no other reading holds a large image, and then hold one."""
        self._deadline = math.inf
        while not self._is_large:
            self._is_large = self._decoders.large.acquire(timeout=TICK)
            self._check()
        self._deadline = time.monotonic() + self._decoders.seconds

    def _check(self) -> None:
        """Raise UserError when there is no reason to wait any longer."""
        if self._decoders.is_closed or (self._stop is not None and self._stop.is_set()):
            raise UserError(_STOPPED)
        if time.monotonic() > self._deadline:
            seconds = f"{self._decoders.seconds:g} s"
            cure = "make it smaller, or raise --decode-seconds (in Python, decode_seconds)."
            raise UserError(f"Decoding an image takes more than {seconds}: {cure}")

    def _line(self, line: Any) -> str:
        if line == OUT_OF_MEMORY:
            memory = f"{self._decoders.memory_mb} MB of memory"
            cure = "make it smaller, or raise --decode-mb (in Python, decode_mb)."
            return f"Decoding an image takes more than {memory}: {cure}"
        return line if isinstance(line, str) and len(line) <= _LONGEST_LINE and line.isprintable() else _CRASHED

    def _release(self, is_ready: bool) -> None:
        child, self._child = self._child, None
        if self._is_large:
            self._is_large = False
            self._decoders.large.release()
        if child is not None:
            self._decoders.give_back(child, is_ready)


def _number(value: Any) -> int | None:
    match value:
        case None | int():
            return value
    raise BrokenChannelError


def _spacing(value: Any) -> tuple[float, float] | None:
    match value:
        case None:
            return None
        case [float() | int() as height, float() | int() as width] if 0 < height < math.inf and 0 < width < math.inf:
            return float(height), float(width)
    raise BrokenChannelError


def _doubts(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and all(code in FILE_DOUBTS for code in value):
        return tuple(code for code in FILE_DOUBTS if code in value)
    raise BrokenChannelError


_VALUES: dict[str, Callable[[Any], Any]] = {"number": _number, "spacing_mm": _spacing, "doubts": _doubts}
