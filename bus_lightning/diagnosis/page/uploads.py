"""Take the visitors' files into the page's private folder, and leave none there."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import Limits, silence
from bus_lightning.diagnosis.page.asgi import Receive, Scope, Send, answer, header

PATH = "/gradio_api/upload"  # as Gradio calls it
_AT_ONCE = 32  # files that arrive
_TOTAL_FILES = 10  # of the largest size: what all files of the folder may take together
_SILENT_S, _ARRIVAL_S = 10.0, 120.0  # until the next bytes, and for the whole file
_UNUSED_S = 60.0  # a browser asks for a diagnosis at once,
_FRESH_S = 5.0  # usually within this time
_FORM_BYTES = 4096  # what a form has around its file
_NO_FILE = "The file did not arrive, or it is a folder: give one file."
REFUSALS = {
    408: "The file did not arrive in time: try again, or give a smaller one.",
    413: "The file is larger than this page accepts: make it smaller.",
    503: "Too many files arrive at the moment: try again in a minute.",
    507: "The page has no room for more files at the moment: try again in a minute.",
}

silence("python_multipart")  # its lines quote what was sent


class _RefusedError(Exception):
    """An upload is refused, with a status of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(eq=False)
class _Arrival:
    """A file that arrives."""

    address: str  # of who sends it
    latest: float  # when it must be complete, in the event loop's time
    clock: asyncio.Timeout
    size: int = 0
    is_replaced: bool = False

    def wait(self, seconds: float) -> None:
        """Wait for the next bytes, at most for so long."""
        if self.is_replaced:
            raise _RefusedError(503)
        self.clock.reschedule(min(asyncio.get_running_loop().time() + seconds, self.latest))

    def replace(self) -> None:
        """End it, because another one needs its place."""
        self.is_replaced = True
        if not self.clock.expired():
            self.clock.reschedule(asyncio.get_running_loop().time())


class Uploads:
    """The address that takes files, and their folder.

    A file is written under a random name, which only its sender learns; its own name is dropped. A file that stops
    arriving, arrives too slowly, or whose connection breaks, is deleted at once; a file that nobody asks about is
    deleted after `unused_s`. If `at_once` files are arriving, a new one replaces the oldest one of the address that
    sends most. `total_bytes` bounds the folder.
    """

    def __init__(
        self, folder: Path, limits: Limits, at_once: int = _AT_ONCE, total_bytes: int | None = None,
        silent_s: float = _SILENT_S, arrival_s: float = _ARRIVAL_S, unused_s: float = _UNUSED_S,
    ) -> None:  # fmt: skip
        self._folder, self._most_bytes, self._at_once = folder, limits.file_bytes, at_once
        self._total_bytes = _TOTAL_FILES * limits.file_bytes if total_bytes is None else total_bytes
        self._silent_s, self._arrival_s, self._unused_s = silent_s, arrival_s, unused_s
        self._arriving: dict[Path, _Arrival] = {}  # the oldest first
        self._complete: dict[Path, tuple[int, float]] = {}  # size and time of arrival, the oldest first
        self._used: dict[Path, int] = {}  # size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one file and answer with a list of its path, which Gradio's clients expect."""
        try:
            path = await self._take_in(scope, receive)
        except _RefusedError as error:
            await answer(send, error.status, REFUSALS.get(error.status, _NO_FILE))
        except ConnectionError:  # nobody is there to be answered
            return
        else:
            await answer(send, 200, [str(path)])

    @contextmanager
    def use(self, requested: Any) -> Iterator[Path]:
        """Give the path of an upload, as it was answered, and delete the file at the end.

        Raises:
            UserError: When there is no such upload; no other file is touched.
        """
        path = Path(requested) if isinstance(requested, str) else None
        held = None if path is None or str(path) != requested else self._complete.pop(path, None)
        if path is None or held is None:
            raise UserError(_NO_FILE)
        self._used[path] = held[0]
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            del self._used[path]

    def sweep(self) -> None:
        """Delete the files that nobody asked about in time."""
        now = time.monotonic()
        for path, (_, arrived) in list(self._complete.items()):
            if now - arrived > self._unused_s:
                self._drop(path)

    def _drop(self, path: Path) -> None:
        del self._complete[path]
        path.unlink(missing_ok=True)

    async def _take_in(self, scope: Scope, receive: Receive) -> Path:
        """Write a file and return its path.

        Raises:
            _RefusedError: When it is refused, late, or no form with a file.
            ConnectionError: When the connection breaks.
        """
        boundary = _boundary(scope)
        length = header(scope, b"content-length")
        self._make_room(int(length) - _FORM_BYTES if length.isdecimal() else 0)
        self._make_place()
        path = self._folder / secrets.token_urlsafe(16)
        client, now = scope.get("client"), asyncio.get_running_loop().time()
        clock = asyncio.timeout_at(now + min(self._silent_s, self._arrival_s))
        arrival = _Arrival(str(client[0]) if client else "", now + self._arrival_s, clock)
        self._arriving[path] = arrival
        try:
            async with clock:
                with path.open("xb") as stream:
                    await self._write(_Form(boundary, stream), receive, arrival)
            self._complete[path] = arrival.size, time.monotonic()
        except TimeoutError:
            raise _RefusedError(503 if arrival.is_replaced else 408) from None
        except ConnectionError:
            raise
        except OSError:  # the disk is full
            raise _RefusedError(507) from None
        finally:
            del self._arriving[path]
            if path not in self._complete:
                path.unlink(missing_ok=True)
        return path

    async def _write(self, form: "_Form", receive: Receive, arrival: _Arrival) -> None:
        received, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            body, more = message.get("body", b""), message.get("more_body", False)
            received += len(body)
            if received > self._most_bytes + _FORM_BYTES:
                raise _RefusedError(413)
            arrival.wait(self._silent_s)
            form.write(body)
            self._make_room(form.size - arrival.size)
            arrival.size = form.size
        form.finish()

    def _make_room(self, size: int) -> None:
        """Make sure that so many bytes fit into the folder; files that nobody asked about must go, the oldest first."""
        if size > self._most_bytes:
            raise _RefusedError(413)
        while self._held() + size > self._total_bytes:
            oldest = next(iter(self._complete), None)
            if oldest is None or time.monotonic() - self._complete[oldest][1] < _FRESH_S:
                raise _RefusedError(507)
            self._drop(oldest)

    def _held(self) -> int:
        """Count the bytes of all files."""
        complete = sum(size for size, _ in self._complete.values())
        return sum(arrival.size for arrival in self._arriving.values()) + complete + sum(self._used.values())

    def _make_place(self) -> None:
        """Let at most so many files arrive at once: whoever sends most loses the oldest one."""
        live = [arrival for arrival in self._arriving.values() if not arrival.is_replaced]
        if len(live) >= self._at_once:
            [(busiest, _)] = Counter(arrival.address for arrival in live).most_common(1)
            next(arrival for arrival in live if arrival.address == busiest).replace()


class _Form:
    """A form with a file and nothing else; the file's bytes go into a stream, its name goes nowhere."""

    def __init__(self, boundary: bytes, stream: IO[bytes]) -> None:
        callbacks: Any = {"on_part_begin": self._begin, "on_part_data": self._add, "on_end": self._end}
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError:
            raise _RefusedError(400) from None
        self._stream = stream
        self._parts, self._is_complete = 0, False
        self.size = 0

    def write(self, body: bytes) -> None:
        """Take the next bytes of the form."""
        try:
            self._parser.write(body)
        except FormParserError:
            raise _RefusedError(400) from None

    def finish(self) -> None:
        """Make sure that the form was whole."""
        if not self._is_complete or self._parts != 1:
            raise _RefusedError(400)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise _RefusedError(400)

    def _add(self, body: bytes, start: int, end: int) -> None:
        self._stream.write(memoryview(body)[start:end])
        self.size += end - start

    def _end(self) -> None:
        self._is_complete = True


def _boundary(scope: Scope) -> bytes:
    """Find what separates the parts of a form."""
    kind, options = parse_options_header(header(scope, b"content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _RefusedError(400)
    return options[b"boundary"]
