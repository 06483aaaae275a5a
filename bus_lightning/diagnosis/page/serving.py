"""Serve the page until Ctrl-C or SIGTERM, with a private folder for the visitors' files."""

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import at_first_signal
from bus_lightning.core.printable import printable
from bus_lightning.diagnosis.bundle import Bundle, load_bundle
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.networks import precision_note
from bus_lightning.diagnosis.page.addresses import Addresses, is_loopback
from bus_lightning.diagnosis.page.doors import Doors
from bus_lightning.diagnosis.page.folders import private_folder
from bus_lightning.diagnosis.trained_on import sentence

_AT_ONCE = 2  # images; networks compute one at a time, and a large image takes much memory
_WAKE_S = 0.5
_EVERYWHERE = ("0.0.0.0", "::")
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    # Gradio would otherwise count all events after each one, for a page that is closed here.
    "GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
}  # fmt: skip


def serve(
    bundle: Path, host: str, port: int, precision: str | None, threads: int | None, limits: Limits, memory_mb: int,
    seconds: float, allowed_hosts: Sequence[str] = (),
) -> None:  # fmt: skip
    """Serve the page of a bundle until it is interrupted; port 0 takes a free one.

    `memory_mb` and `seconds` are what an image may take to be decoded. `allowed_hosts` are names by which the page may
    be opened, besides those of this machine.

    Raises:
        UserError: When the bundle cannot be opened, a library is missing, or the address cannot be used.
    """
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        addresses = Addresses(host, port, allowed_hosts)
        diagnoser = Diagnoser(load_bundle(bundle), precision, threads)
        if note := precision_note(precision or diagnoser.bundle.default_precision):
            print(note, file=sys.stderr)
        diagnoser.diagnose([Frame(np.zeros((64, 64, 3), np.uint8))])  # the first call of an engine takes longer
        stopped = threading.Event()
        with (
            at_first_signal(lambda _: stopped.set()),
            private_folder() as folder,
            Decoders(_AT_ONCE, memory_mb, seconds) as decoders,
            _open(diagnoser, decoders, folder, limits, addresses, listener),
        ):
            announce(host, port, diagnoser.bundle)
            wait_until(stopped)


@contextmanager
def naming_the_extra() -> Iterator[None]:
    """Import libraries of the page, and name one that is missing with the extra that brings it.

    Raises:
        UserError: When it is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bus_lightning"):
            raise
        raise UserError(
            f"The page needs {error.name}, which is not installed: pip install 'bus_lightning[app]'"
        ) from None


def wait_until(stopped: threading.Event) -> None:
    """Wait for the end of a page; wake again and again, because the system may give a signal to another thread."""
    while not stopped.wait(_WAKE_S):
        pass


def announce(host: str, port: int, bundle: Bundle) -> None:
    """Print the page's address, what the bundle was trained on, and a warning if others can open the page."""
    print(f"Open {_url(host, port)} (bundle {bundle.id}). Stop with Ctrl-C.", flush=True)
    print(printable(sentence(bundle.trained_on)), flush=True)
    if not is_loopback(host):
        print("Warning: the page has no password and no encryption. Anyone on this network can open it.", flush=True)


def _url(host: str, port: int) -> str:
    """Write the address by which this machine opens the page; others use this machine's name or address."""
    name = "localhost" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/"


@contextmanager
def _open(
    diagnoser: Diagnoser, decoders: Decoders, folder: Path, limits: Limits, addresses: Addresses,
    listener: socket.socket,
) -> Iterator[None]:  # fmt: skip
    """Build the page and run its server until the end of the block.

    Raises:
        UserError: When a library is missing, or the server does not start.
    """
    os.environ.update(_SETTINGS, GRADIO_TEMP_DIR=str(folder))  # before Gradio is imported
    with naming_the_extra():
        from bus_lightning.diagnosis.page.application import Application
        from bus_lightning.diagnosis.page.server import running
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        application = Application(diagnoser, decoders, folder, limits, pool, _AT_ONCE)
        with running(Doors(application, addresses), listener):
            try:
                yield
            finally:
                application.end()
                decoders.close()  # the threads need not wait for what is being decoded


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address before any slow step, so that nobody else takes it.

    Raises:
        UserError: When it cannot be used.
    """
    if not host:  # would mean every address
        raise UserError("--host is empty: leave it out, or give an address of this machine.")
    try:
        host.encode("idna")  # as a name is looked up; where that fails, Python forgets to close the socket
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise UserError(
                f"Port {port} is used by another program: choose another with --port, or 0 for a free one."
            ) from None
        if number == errno.EACCES:
            raise UserError(f"Port {port} may not be used: choose one from 1024 on with --port.") from None
        raise UserError(
            f"--host {host} is not an address of this machine: leave it out, or give one that is."
        ) from None
