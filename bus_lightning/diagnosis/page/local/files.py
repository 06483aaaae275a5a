"""Serve a fixed list of files, and nothing else: an ASGI application that takes no image and no other body."""

from collections.abc import Mapping
from pathlib import Path

from bus_lightning.diagnosis.page.asgi import Receive, Scope, Send, answer

HEADERS = {
    # Nothing may come from, or go to, another server; no inline script or style.
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",  # with the next, the networks may use several threads
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), display-capture=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript",
          ".css": "text/css; charset=utf-8", ".json": "application/json", ".wasm": "application/wasm",
          ".onnx": "application/octet-stream", ".png": "image/png",
          ".svg": "image/svg+xml"}  # fmt: skip
_CHUNK = 1_000_000  # bytes


class Files:
    """An ASGI application that serves contents by address; `Doors` lets only these addresses through.

    Args:
        contents: Address, such as `/bundle.json` -> its content.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of the addresses."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = self._contents.get(scope["path"])
        if body is None:
            await answer(send, 404, "There is nothing here.")
            return
        kind = _KINDS[".html" if scope["path"] == "/" else Path(scope["path"]).suffix]
        fields = {"content-type": kind, "content-length": str(len(body)), "cache-control": "no-cache"}
        start = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        for first in range(0, len(body), _CHUNK):
            part = {"type": "http.response.body", "body": body[first : first + _CHUNK], "more_body": True}
            await send(part)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
