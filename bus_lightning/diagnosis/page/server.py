"""Run an ASGI application on a socket, in a thread, so that no connection is held open without a request."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import silence
from bus_lightning.diagnosis.page.asgi import App
from bus_lightning.diagnosis.page.doors import HEADERS

_CONNECTIONS = 512  # a browser has up to six
_REQUEST_S = 10.0  # until a request's head is there
_START_S, _END_S = 60.0, 2.0


class Connection(H11Protocol):
    """A connection that is closed when no request arrives on it in time, or when a new one needs its place.

    Those that wait for a request or its body are closed first, and the oldest of them; then the oldest of all.
    """

    most, request_s = _CONNECTIONS, _REQUEST_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._since = time.monotonic()
        self._wait()
        # One that has been closed just now is still listed.
        listed = [other for other in self.connections if isinstance(other, Connection)]
        others = [other for other in listed if other is not self and not other.transport.is_closing()]
        if len(others) >= self.most:
            waiting = [other for other in others if not other._is_answering()]
            min(waiting or others, key=lambda other: other._since).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and wait for the rest if they are not a whole head."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes a connection on which nothing at all arrives."""
        self._stop_waiting()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, with the headers of every answer."""
        self._stop_waiting()
        fields = {"content-type": "text/plain; charset=utf-8", "connection": "close"} | HEADERS
        start = h11.Response(status_code=400, headers=list(fields.items()), reason=b"Bad Request")
        for event in (start, h11.Data(data=f"{msg}\n".encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.request_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@contextmanager
def running(app: App, listener: socket.socket) -> Iterator[None]:
    """Serve an application until the end of the block.

    Raises:
        UserError: When the server does not start.
    """
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="on", log_level="error", access_log=False, proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=int(_END_S),
    )  # fmt: skip
    server = uvicorn.Server(config)
    options: dict[str, Any] = {"sockets": [listener]}
    thread = threading.Thread(target=server.run, kwargs=options, daemon=True)
    thread.start()
    end = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise UserError("The page's server did not start: see the lines above.")
        time.sleep(0.01)
    try:
        yield
    finally:
        silence("uvicorn.error")  # what still runs is cancelled, which is no error
        server.should_exit = True
        thread.join(_END_S + 5)
