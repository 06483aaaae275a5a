"""Let only those requests through to Gradio that the page makes in a browser; everything else gets one line.

Gradio has many more routes than the page uses. The list below names what may pass, so every other route is closed, also
one that a newer Gradio adds.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.asgi import App, Message, Receive, Scope, Send, answer, header, headers, replay
from bus_lightning.diagnosis.page.failures import report_failure

HEADERS = {
    # Gradio evaluates templates and writes styles; nothing may come from, or go to, another server.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
SESSION = r"[A-Za-z0-9_-]{1,64}"  # what a browser calls its visit; Gradio draws it in the browser
_BODY_BYTES = 65_536  # of a request; an upload has its own limit
_SILENT_S = 10.0  # a body is sent at once
_UNREAD_S = 30.0  # a browser reads its answers
# Headers that Gradio would believe, but a browser does not send. A proxy may say that it speaks https.
_DROPPED = re.compile(rb"x-(?!forwarded-proto$).*|forwarded|cookie")


@dataclass(frozen=True)
class Door:
    """A kind of request that may pass."""

    method: str
    path: re.Pattern[str]
    query: re.Pattern[str] | None = None  # None: a query is dropped
    open_to_links: bool = False  # whether a link on another site may lead here
    has_body: bool = False
    streams_body: bool = False  # whether the application reads the body, with its own limits


def _door(method: str, path: str, query: str | None = None, **options: bool) -> Door:
    return Door(method, re.compile(path, re.ASCII), query if query is None else re.compile(query, re.ASCII), **options)


DOORS = (
    _door("GET", "/", open_to_links=True),
    _door("GET", "/config"),
    _door("GET", "/theme.css"),
    _door("GET", "/favicon.ico"),
    _door("GET", r"/static/js/iframeResizer\.contentWindow\.min\.js"),
    _door("GET", r"/assets/\w[\w-]*(\.[\w-]+)*\.(js|css|svg|ttf|woff2?)"),
    _door("GET", f"/gradio_api/heartbeat/{SESSION}"),
    _door("POST", "/gradio_api/upload", has_body=True, streams_body=True),
    _door("POST", "/gradio_api/queue/join", has_body=True),
    _door("GET", "/gradio_api/queue/data", f"session_hash={SESSION}"),
)


class Doors:
    """An ASGI application in front of another one.

    Every answer has the security headers, `fields`. A request must name the page's own address in Host (421), come from
    the page itself where a browser says where it comes from (403), and match an entry of `doors` to the letter (404):
    method, undecoded path and query. A body is read here, bounded in size and time (413, 408). If a client does not
    read its answer, the connection is closed.
    """

    def __init__(
        self, app: App, addresses: Addresses, doors: Sequence[Door] = DOORS, silent_s: float = _SILENT_S,
        unread_s: float = _UNREAD_S, fields: Mapping[str, str] = HEADERS,
    ) -> None:  # fmt: skip
        self._app, self._addresses, self._doors = app, addresses, doors
        self._silent_s, self._unread_s, self._fields = silent_s, unread_s, fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, self._guarded(send))
        elif scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(headers(scope, b"host")) != 1 or not self._addresses.is_own(header(scope, b"host"), _arrived_at(scope)):
            line = "This page does not answer to this name: open it by the address that it printed at its start, or "
            await answer(send, 421, line + "allow the name with --allow-host.")
            return
        door = next((door for door in self._doors if _fits(door, scope)), None)
        if door is None:
            await answer(send, 404, "There is nothing here.")
            return
        if not self._is_from_here(scope, door):
            await answer(send, 403, "Another site sent this request, and only the page itself may send it.")
            return
        if door.has_body and not door.streams_body:
            body = await self._read_body(receive, send)
            if body is None:
                return
            receive = replay(body, receive)
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(_cleaned(scope, door), receive, noting)
        except TimeoutError:  # the answer is not read: returning closes the connection
            return
        except Exception as error:  # Gradio fails at some requests that no browser sends
            report_failure(error)
            if not started:
                await answer(send, 500, "The page cannot answer this.")

    def _is_from_here(self, scope: Scope, door: Door) -> bool:
        """Check where a request comes from, as far as the browser says it; programs that are no browsers do not."""
        site = header(scope, b"sec-fetch-site")
        if door.open_to_links:  # nobody but the visitor sees the answer
            return site in ("", "none", "same-origin") or header(scope, b"sec-fetch-mode") in ("", "navigate")
        origins = headers(scope, b"origin") or headers(scope, b"referer")
        if not all(self._addresses.is_own_site(origin, _arrived_at(scope)) for origin in origins):
            return False
        return site in ("", "none", "same-origin")

    async def _read_body(self, receive: Receive, send: Send) -> bytes | None:
        """Read a whole body; None after a refusal."""
        body = b""
        try:
            async with asyncio.timeout(self._silent_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > _BODY_BYTES:
                        await answer(send, 413, "The request is too long.")
                        return None
                    if not message.get("more_body"):
                        return body
        except TimeoutError:
            await answer(send, 408, "The request did not arrive in time.")
            return None

    def _guarded(self, send: Send) -> Send:
        """Add the security headers to an answer, and close the connection of a client that does not read."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in self._fields.items()]
                headers = message.get("headers", [])
                kept = [pair for pair in headers if pair[0].decode("latin-1").lower() not in self._fields]
                message = {**message, "headers": [*kept, *own]}
            async with asyncio.timeout(self._unread_s):
                await send(message)

        return guarded


def _fits(door: Door, scope: Scope) -> bool:
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    # As it was sent: no door has a `%`, which could mean another path to the application than it does here.
    if scope["method"] != door.method or door.path.fullmatch(path.decode("latin-1")) is None:
        return False
    return door.query is None or door.query.fullmatch(scope["query_string"].decode("latin-1")) is not None


def _cleaned(scope: Scope, door: Door) -> Scope:
    """Copy a request without a query or headers that the page does not send."""
    kept = [(name, value) for name, value in scope["headers"] if _DROPPED.fullmatch(name.lower()) is None]
    query = b"" if door.query is None else scope["query_string"]
    return {**scope, "headers": kept, "query_string": query}


def _arrived_at(scope: Scope) -> str:
    server = scope.get("server")
    return str(server[0]) if server else ""


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return

    async def as_websocket(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await answer(as_websocket, 404, "There is nothing here.")
