"""Ask an ASGI application as uvicorn does, without a socket: the path goes in to the letter."""

import asyncio
from dataclasses import dataclass
from urllib.parse import unquote

ADDRESS = ("127.0.0.1", 7860)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
# What a browser needs, seen in a browser: each is a route of Gradio.
NEEDED = {
    ("GET", "/"), ("GET", "/config"), ("GET", "/theme.css"), ("GET", "/favicon.ico"), ("GET", "/assets/{path:path}"),
    ("GET", "/static/{path:path}"), ("GET", "/gradio_api/heartbeat/{session_hash}"), ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/queue/join"), ("GET", "/gradio_api/queue/data"),
}  # fmt: skip
FILLED = {
    "/assets/{path:path}": "/assets/index-DphvyggB.js",
    "/static/{path:path}": "/static/js/iframeResizer.contentWindow.min.js",
    "/gradio_api/queue/data": "/gradio_api/queue/data?session_hash=x",
}


@dataclass
class Answer:
    """What came back; without a status, the application answered nothing."""

    status: int | None
    headers: dict[str, str]
    body: str


def scope_of(method, target, headers=None, kind="http", server=ADDRESS, more_headers=()):
    """Build the scope of a request; Host is the page's own unless `headers` has another."""
    raw_path, _, query = target.partition("?")
    fields = {"host": f"{ADDRESS[0]}:{ADDRESS[1]}"} | (headers or {})
    pairs = [(name, value) for name, value in [*fields.items(), *more_headers] if value is not None]
    return {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
        "method": method, "path": unquote(raw_path), "raw_path": raw_path.encode("latin-1"), "root_path": "",
        "query_string": query.encode("latin-1"), "server": server, "client": ("127.0.0.1", 50000), "state": {},
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }  # fmt: skip


def ask(app, method, target, headers=None, body=(b"",), **options):
    """Send a request with a body in pieces, after which the connection stays open and silent."""

    async def asking():
        started, content = {}, []
        pieces = list(body)

        async def receive():
            if not pieces:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message):
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                content.append(message.get("body", b""))

        await asyncio.wait_for(app(scope_of(method, target, headers, **options), receive, send), 30)
        fields = {name.decode().lower(): value.decode() for name, value in started.get("headers", [])}
        return Answer(started.get("status"), fields, b"".join(content).decode("utf-8", "replace"))

    return asyncio.run(asking())


class Inside:
    """An application behind the doors that notes what has passed them."""

    def __init__(self):
        self.passed = []

    async def __call__(self, scope, receive, send):
        self.passed.append(scope)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Content-Type-Options", b"x")]})
        await send({"type": "http.response.body", "body": b"inside " + body})
