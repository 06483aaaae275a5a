"""Serve the page until Ctrl-C or SIGTERM, with a private folder for the visitors' files."""

import errno
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import at_first_signal
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.trained_on import sentence

_VISITORS = 64  # whose results are kept, about 8 MB each
_DECODERS = 2  # files that are read at once
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
_HEADERS = {
    # Gradio evaluates templates and writes styles; nothing may come from, or go to, another server.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def serve(
    bundle: Path,
    host: str,
    port: int,
    precision: str | None,
    threads: int | None,
    limits: Limits,
    memory_mb: int,
    seconds: float,
) -> None:
    """Serve the page of a bundle until it is interrupted; port 0 takes a free one.

    `memory_mb` and `seconds` are what an image may take to be decoded.

    Raises:
        UserError: When the bundle cannot be opened, a library is missing, or the address cannot be used.
    """
    port = _free_port(host, port)
    diagnoser = Diagnoser(load_bundle(bundle), precision, threads)
    diagnoser.diagnose([Frame(np.zeros((64, 64, 3), np.uint8))])  # the first call of an engine takes longer
    stopped = threading.Event()
    with (
        at_first_signal(lambda _: stopped.set()),
        _private_folder() as uploads,
        Decoders(_DECODERS, memory_mb, seconds) as decoders,
    ):
        page = _launch(diagnoser, decoders, uploads, limits, host, port)
        try:
            print(f"Open http://{f'[{host}]' if ':' in host else host}:{port}/ (bundle {diagnoser.bundle.id}). "
                  "Stop with Ctrl-C.", flush=True)  # fmt: skip
            print(sentence(diagnoser.bundle.trained_on), flush=True)
            if host not in _LOOPBACK:
                print("Warning: the page has no password and no encryption. Anyone on this network can open it.",
                      flush=True)  # fmt: skip
            stopped.wait()
        finally:
            page.close(verbose=False)


def _launch(diagnoser: Diagnoser, decoders: Decoders, uploads: Path, limits: Limits, host: str, port: int) -> Any:
    """Build the page and start its server.

    Raises:
        UserError: When a library is missing, or the port has been taken in the meantime.
    """
    try:
        from starlette.middleware import Middleware
        from starlette.middleware.base import BaseHTTPMiddleware

        from bus_lightning.diagnosis.page.building import FOLDER, build_page, make_theme
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bus_lightning"):
            raise
        raise UserError(f"The page needs {error.name}, which is not installed: pip install -e '.[app]'") from None

    async def add_headers(request: Any, respond: Any) -> Any:
        response = await respond(request)
        response.headers.update(_HEADERS)
        return response

    page = build_page(diagnoser, decoders, uploads, limits)
    try:
        page.launch(
            server_name=host, server_port=port, quiet=True, prevent_thread_lock=True, share=False, inbrowser=False,
            ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False, run_history=False, show_error=False,
            num_workers=0, footer_links=[], allowed_paths=[], root_path="", max_file_size=limits.file_bytes,
            state_session_capacity=_VISITORS, theme=make_theme(), css_paths=[FOLDER / "page.css"],
            app_kwargs={"middleware": [Middleware(BaseHTTPMiddleware, dispatch=add_headers)]},
        )  # fmt: skip
    except OSError:
        raise _taken(port) from None
    return page


def _free_port(host: str, port: int) -> int:
    """Check before any slow step that an address can be used, and return its port.

    Raises:
        UserError: When it cannot.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(port) from None
        if error.errno == errno.EACCES:
            raise UserError(f"Port {port} may not be used: choose one from 1024 on with --port.") from None
        raise UserError(
            f"--host {host} is not an address of this machine: leave it out, or give one that is."
        ) from None


def _taken(port: int) -> UserError:
    return UserError(f"Port {port} is used by another program: choose another with --port, or 0 for a free one.")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Create a folder that only this user can read, for all files of the page, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="bus_lightning-page-", ignore_cleanup_errors=True) as folder:
        os.environ.update(_SETTINGS, GRADIO_TEMP_DIR=folder)  # before Gradio is imported
        yield Path(folder)
