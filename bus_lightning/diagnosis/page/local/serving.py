"""Serve the page that diagnoses in the browser, until Ctrl-C or SIGTERM; no image arrives here."""

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from bus_lightning.core.interruption import at_first_signal
from bus_lightning.core.printable import printable
from bus_lightning.diagnosis.bundle import Bundle, load_bundle
from bus_lightning.diagnosis.doubt import is_like
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.lacking import what_lacks
from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.doors import Door, Doors
from bus_lightning.diagnosis.page.local.content import check_bundle, describe_bundle, files_of_networks
from bus_lightning.diagnosis.page.local.files import HEADERS, Files
from bus_lightning.diagnosis.page.local.runtime import find_runtime
from bus_lightning.diagnosis.page.rendering import render
from bus_lightning.diagnosis.page.server import running
from bus_lightning.diagnosis.page.serving import announce, listen, wait_until
from bus_lightning.diagnosis.page.wording import NOTICE, title_of
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

_STATIC = Path(__file__).with_name("static")
_TEMPLATE = Path(__file__).with_name("page.html.j2")
_SHARED = [Path(__file__).parents[1] / name for name in ("page.css", "drop.js")]  # with the page of a server


def serve_local(
    bundle: Path, host: str, port: int, precision: str | None, threads: int | None, limits: Limits, runtime: Path,
    allowed_hosts: Sequence[str] = (),
) -> None:  # fmt: skip
    """Serve the page of a bundle that diagnoses in the browser, until it is interrupted; port 0 takes a free one.

    `runtime` is the folder of onnxruntime-web. `allowed_hosts` are names by which the page may be opened, besides those
    of this machine.

    Raises:
        UserError: When the bundle or the runtime cannot be used, or the address.
    """
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        addresses = Addresses(host, port, allowed_hosts)
        opened = load_bundle(bundle)
        contents = contents_of(opened, check_bundle(opened, precision), threads, limits, runtime)
        stopped = threading.Event()
        with at_first_signal(lambda _: stopped.set()), running(guard(contents, addresses), listener):
            announce(host, port, opened)
            print(printable("The images stay in the browser: nothing but the page is sent."), flush=True)
            wait_until(stopped)


def contents_of(bundle: Bundle, precision: str, threads: int | None, limits: Limits, runtime: Path) -> dict[str, bytes]:
    """Read everything that the page consists of: address -> content.

    Raises:
        UserError: When a file of the runtime is missing or another one, or the bundle's statistics are of another
            version.
    """
    is_like(np.zeros((2, 2, 3), np.uint8), bundle.reference)  # raises for statistics that this version does not have
    described = describe_bundle(bundle, precision, threads, limits)
    samples = {f"samples/{number}.png": path for number, path in enumerate(bundle.samples) if path.suffix == ".png"}
    described["samples"] = [*samples]
    files = {path.name: path for path in [*_STATIC.iterdir(), *_SHARED]}
    files |= find_runtime(runtime) | files_of_networks(bundle, precision) | samples
    text = json.dumps(described, allow_nan=False).encode()
    return {
        "/": _render(bundle, described).encode(),
        "/bundle.json": text,
        **{f"/{address}": path.read_bytes() for address, path in files.items()},
    }


def guard(contents: dict[str, bytes], addresses: Addresses) -> Doors:
    """Let only requests for these contents through, without a body."""
    doors = [Door("GET", re.compile(re.escape(address)), open_to_links=address == "/") for address in contents]
    return Doors(Files(contents), addresses, doors, fields=HEADERS)


def _render(bundle: Bundle, described: dict[str, object]) -> str:
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_TEMPLATE.read_text("utf-8"))
    return template.render(
        title=title_of(bundle), render=render, notice=NOTICE, trained_on=sentence(bundle.trained_on),
        is_synthetic=is_synthetic(bundle.trained_on), lacks=what_lacks(bundle),
        answers="class" if bundle.classifies else "outline", **described,
    )  # fmt: skip
