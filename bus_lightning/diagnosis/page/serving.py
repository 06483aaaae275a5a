"""Serve the page, with a private folder for what visitors give, until Ctrl-C or SIGTERM."""

import errno
import os
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import at_first_signal
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnosing import Diagnoser
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.trained_on import sentence

_VISITORS = 64  # whose results are kept, some 8 MB each
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
_HEADERS = {
    # Gradio evaluates templates and writes styles; nothing may come from, or go to, another place.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
Message = MutableMapping[str, Any]


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        bundle: The folder.
        host, port: Where to listen; port 0 takes a free one.
        precision, threads: Of the networks; None leaves it to the bundle and the engine.
        limits: What is read at most.
    """

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 7860
    precision: str | None = None
    threads: int | None = None
    limits: Limits = field(default_factory=Limits)


class Headers:
    """Add headers to every answer, which forbid the page to ask anyone else."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        """Pass a request on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                kept = [pair for pair in message.get("headers", []) if pair[0].lower().decode() not in _HEADERS]
                message["headers"] = [*kept, *own]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def serve(options: Options, say: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted.

    Args:
        options: What and where.
        say: Tells a line.

    Raises:
        UserError: When the bundle cannot be opened, a library is missing, or the address cannot be taken.
    """
    port = _free_port(options.host, options.port)
    diagnoser = Diagnoser(load_bundle(options.bundle), options.precision, options.threads)
    diagnoser.diagnose([Frame(np.zeros((64, 64, 3), np.uint8))])  # the first call of an engine takes longer
    with _stopping() as stopped, _private_folder() as uploads:
        page, launch = _made(diagnoser, uploads, options.limits)
        try:
            launch(server_name=options.host, server_port=port)
        except OSError:
            raise _taken(port) from None
        try:
            shown = f"[{options.host}]" if ":" in options.host else options.host
            say(f"The page is http://{shown}:{port}/ (bundle {diagnoser.bundle.id}); Ctrl-C ends it.")
            say(sentence(diagnoser.bundle.trained_on))
            if options.host not in _LOOPBACK:
                say("Whoever reaches this address can use the page: it asks for no password, and does not encrypt.")
            stopped.wait()
        finally:
            page.close(verbose=False)


def _made(diagnoser: Diagnoser, uploads: Path, limits: Limits) -> tuple[Any, Callable[..., Any]]:
    """Build the page, and prepare its launch.

    Raises:
        UserError: When a library is missing.
    """
    try:
        from starlette.middleware import Middleware

        from bus_lightning.diagnosis.page.building import HERE, build_page, theme
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bus_lightning"):
            raise
        raise UserError(f"The page needs {error.name}, which is not installed: pip install -e '.[app]'") from None
    page = build_page(diagnoser, uploads, limits)

    def launch(**where: Any) -> None:
        page.launch(
            **where, quiet=True, prevent_thread_lock=True, share=False, inbrowser=False, ssr_mode=False, pwa=False,
            mcp_server=False, enable_monitoring=False, run_history=False, show_error=False, num_workers=0,
            footer_links=[], allowed_paths=[], root_path="", max_file_size=limits.file_bytes,
            state_session_capacity=_VISITORS, theme=theme(), css_paths=[HERE / "page.css"],
            app_kwargs={"middleware": [Middleware(Headers)]},
        )  # fmt: skip

    return page, launch


def _free_port(host: str, port: int) -> int:
    """Check that an address can be taken, before anything that takes time.

    Raises:
        UserError: When it cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(port) from None
        if error.errno == errno.EACCES:
            raise UserError(f"Port {port} may not be used: name one from 1024 on with --port.") from None
        raise UserError(f"--host {host} is no address of this machine: leave it away, or name one that is.") from None


def _taken(port: int) -> UserError:
    return UserError(f"Port {port} is taken by another program: name another with --port, or 0 for a free one.")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Make a folder that this user alone can read, for all that the page writes, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="bus_lightning-page-", ignore_cleanup_errors=True) as folder:
        os.environ.update(_SETTINGS)  # before Gradio is imported
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield Path(folder)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Let Ctrl-C and SIGTERM set an event, and a second one end at once."""
    stopped = threading.Event()

    with at_first_signal(lambda _: stopped.set()):
        yield stopped
