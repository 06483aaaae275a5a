"""Notice who listens for answers, and who has left."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs

from bus_lightning.diagnosis.page.asgi import App, Message, Receive, Scope, Send, answer, replay
from bus_lightning.diagnosis.page.doors import SESSION

_QUESTIONS = "/gradio_api/queue/join"
_ANSWERS = "/gradio_api/queue/data"  # the stream of a visitor's answers
_HEARTBEAT = "/gradio_api/heartbeat/"  # open as long as the page is open in a browser
_MOST_EXPECTED = 256  # visitors who have asked, but do not listen yet
_EXPECTED_S = 15.0


@dataclass(eq=False)
class _Stream:
    """An open connection of a visitor."""

    has_answers: bool
    is_stuck: bool = False  # what was sent before has not been read yet


class Visitors:
    """Watch the streams by which visitors listen; a visitor is known by the name that its browser gave to its visit.

    A visitor who asks is expected to listen soon. At most `most_expected` visitors may be expected at once, because
    Gradio remembers each of them.

    Attributes:
        on_listening: Called when a visitor has become able to read answers.
        on_leaving: Called when the last stream of a visitor has ended, or when one who was expected did not come.
    """

    def __init__(self, most_expected: int = _MOST_EXPECTED, expected_s: float = _EXPECTED_S) -> None:
        self._most_expected, self._expected_s = most_expected, expected_s
        self._expected: dict[str, float] = {}  # since when
        self.on_listening: list[Callable[[str], None]] = []
        self.on_leaving: list[Callable[[str], None]] = []
        self._streams: dict[str, list[_Stream]] = {}

    def watch(self, app: App) -> App:
        """Put an ASGI application in front of Gradio that sees each stream."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == _QUESTIONS:
                await self._expect(app, scope, receive, send)
                return
            visitor = _visitor_of(scope) if scope["type"] == "http" else None
            if visitor is None:
                await app(scope, receive, send)
                return
            with self._open(visitor, scope["path"] == _ANSWERS) as stream:
                await app(scope, receive, self._mark(visitor, stream, send))

        return watched

    async def _expect(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its visitor listens, or may be expected to."""
        message = await receive()  # the doors have read all of it
        visitor = None
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            visitor = json.loads(message["body"])["session_hash"]
        if not isinstance(visitor, str) or re.fullmatch(SESSION, visitor, re.ASCII) is None:
            await answer(send, 400, "This request names no visit.")
            return
        if visitor not in self._streams and visitor not in self._expected:
            if len(self._expected) >= self._most_expected:
                await answer(send, 503, "Too many visitors ask at the moment: try again in a minute.")
                return
            self._expected[visitor] = time.monotonic()
        await app(scope, replay(message["body"], receive), send)

    def sweep(self) -> None:
        """Give up those who were expected and did not come."""
        now = time.monotonic()
        for visitor, since in list(self._expected.items()):
            if now - since > self._expected_s:
                del self._expected[visitor]
                self._leave(visitor)

    def is_listening(self, visitor: str) -> bool:
        """Tell whether a visitor reads its answers."""
        return any(stream.has_answers and not stream.is_stuck for stream in self._streams.get(visitor, []))

    def is_here(self, visitor: str) -> bool:
        """Tell whether a visitor has the page open."""
        return visitor in self._streams

    def _mark(self, visitor: str, stream: _Stream, send: Send) -> Send:
        """Mark a stream as stuck while something that is sent cannot go out."""

        async def marked(message: Message) -> None:
            stream.is_stuck = True
            await send(message)
            stream.is_stuck = False
            self._notify(visitor)

        return marked

    @contextmanager
    def _open(self, visitor: str, has_answers: bool) -> Iterator[_Stream]:
        stream = _Stream(has_answers)
        self._expected.pop(visitor, None)
        self._streams.setdefault(visitor, []).append(stream)
        try:
            self._notify(visitor)
            yield stream
        finally:
            self._streams[visitor].remove(stream)
            if not self._streams[visitor]:
                del self._streams[visitor]
                self._leave(visitor)

    def _leave(self, visitor: str) -> None:
        for call in self.on_leaving:
            call(visitor)

    def _notify(self, visitor: str) -> None:
        if self.is_listening(visitor):
            for call in self.on_listening:
                call(visitor)


def _visitor_of(scope: Scope) -> str | None:
    """Name the visitor whose stream a request opens; None for any other request."""
    path: str = scope["path"]
    if path.startswith(_HEARTBEAT):
        return path.removeprefix(_HEARTBEAT)
    if path == _ANSWERS:
        return next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [])), None)
    return None
