"""The few words of ASGI that the page's own applications share: types, headers and answers."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def headers(scope: Scope, name: bytes) -> list[str]:
    """List the values of a request's header; `name` is in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def header(scope: Scope, name: bytes) -> str:
    """Return the first value of a request's header; empty without one."""
    return next(iter(headers(scope, name)), "")


async def answer(send: Send, status: int, content: Any) -> None:
    """Send a line of text, or a value as JSON, and close the connection after a refusal."""
    kind = b"text/plain; charset=utf-8" if isinstance(content, str) else b"application/json"
    body = (f"{content}\n" if isinstance(content, str) else json.dumps(content)).encode()
    fields = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    if status >= 400:  # the rest of a body is not read
        fields.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def replay(body: bytes, receive: Receive) -> Receive:
    """Give an application a body that has been read, and then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
