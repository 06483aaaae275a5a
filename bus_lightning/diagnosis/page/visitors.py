"""Notice who listens for answers, and who has left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs

from bus_lightning.diagnosis.page.asgi import App, Message, Receive, Scope, Send

_ANSWERS = "/gradio_api/queue/data"  # the stream of a visitor's answers
_HEARTBEAT = "/gradio_api/heartbeat/"  # open as long as the page is open in a browser


@dataclass(eq=False)
class _Stream:
    """An open connection of a visitor."""

    has_answers: bool
    is_stuck: bool = False  # what was sent before has not been read yet


class Visitors:
    """Watch the streams by which visitors listen; a visitor is known by the name that its browser gave to its visit.

    Attributes:
        on_listening: Called when a visitor has become able to read answers.
        on_leaving: Called when the last stream of a visitor has ended.
    """

    def __init__(self) -> None:
        self.on_listening: list[Callable[[str], None]] = []
        self.on_leaving: list[Callable[[str], None]] = []
        self._streams: dict[str, list[_Stream]] = {}

    def watch(self, app: App) -> App:
        """Put an ASGI application in front of Gradio that sees each stream."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            visitor = _visitor_of(scope) if scope["type"] == "http" else None
            if visitor is None:
                await app(scope, receive, send)
                return
            with self._open(visitor, scope["path"] == _ANSWERS) as stream:
                await app(scope, receive, self._mark(visitor, stream, send))

        return watched

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
        self._streams.setdefault(visitor, []).append(stream)
        try:
            self._notify(visitor)
            yield stream
        finally:
            self._streams[visitor].remove(stream)
            if not self._streams[visitor]:
                del self._streams[visitor]
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
