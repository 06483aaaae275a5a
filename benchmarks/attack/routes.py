"""Walk over all routes of the installed Gradio at the real page, and count those that it answers."""

import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.probes.users import served

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # seven, as the table says
_VALUES = ("x", "1", "https://example.org/x.png", "/etc/hostname", "x.js")  # in the places of a route
_PATIENCE_S = 5.0


def walk(bundle: Path) -> dict[str, Any]:
    """Start the page and ask for every route by every method.

    Args:
        bundle: The bundle.

    Returns:
        Number of `routes` and of `requests`, and the routes that are `answered` by anything but 404.
    """
    routes = _routes()
    requests, answered = 0, set()
    with served(bundle, "fp32") as (page, _):
        address = urlsplit(page.url)
        for route in routes:
            targets = {re.sub(r"\{.*?\}", value, route) for value in _VALUES}
            for method in _METHODS:
                for target in sorted(targets):
                    requests += 1
                    if _status(str(address.hostname), address.port or 80, method, target) != 404:
                        answered.add(f"{method} {route}")
    return {"routes": len(routes), "requests": requests, "answered": sorted(answered)}


def _routes() -> list[str]:
    """List the routes of the installed Gradio, also those that the page does not use."""
    import gradio

    with gradio.Blocks() as blocks:
        gradio.Markdown("A page.")
    return sorted(set(_paths(gradio.routes.App.create_app(blocks))))


def _paths(app: Any, before: str = "") -> Iterator[str]:
    """List the paths of all routes, also of those in mounted applications and included routers."""
    for route in app.routes:
        if hasattr(route, "app") and hasattr(route.app, "routes"):
            yield from _paths(route.app, before + route.path)
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from _paths(router, before)
        else:
            yield before + str(route.path)


def _status(host: str, port: int, method: str, target: str) -> int:
    """Ask for a path as it is written, and return the status of the answer; 0 if there is none in time."""
    connection = HTTPConnection(host, port, timeout=_PATIENCE_S)
    try:
        connection.request(method, target)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
