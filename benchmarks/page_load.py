"""Many users ask the page at once, one of them hostile: seconds of the others' answers, and the page's peak memory."""

import argparse
import secrets
import socket
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image

from benchmarks import report
from benchmarks.memory import memory_mb
from benchmarks.probes.users import Page, served
from benchmarks.processes import PROJECT, say
from benchmarks.provenance import provenance

P99_GOAL, MEMORY_GOAL = 2.0, 1500  # seconds, MB
_LARGE_SIDE = 4900  # pixels; the page accepts 25 million
_HALF_SENT = 40  # uploads of the hostile user that go on, at most
_SAMPLE_S = 0.25


def measure(users: int, repeats: int) -> dict[str, Any]:
    """Start the page with a tiny bundle, and let `users`, the last of them hostile, ask it `repeats` times each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(_make_bundle(Path(folder) / "bundle"), "fp32") as (page, process),
    ):
        picture, bad = _picture(), _bad_files()
        page.ask(picture)  # the first answer of a page takes longer
        ended, peak = threading.Event(), [0.0]
        watch = threading.Thread(target=_watch_memory, args=(process.pid, peak, ended))
        watch.start()
        begin = time.perf_counter()
        with ThreadPoolExecutor(users) as pool:
            hostile = pool.submit(_attack, page, bad, ended)
            others = [pool.submit(_visit, page, picture, repeats) for _ in range(users - 1)]
            try:
                taken = [seconds for other in others for seconds in other.result()]
            finally:
                ended.set()
        watch.join()
        return {"users": users, "answers": taken, "seconds": time.perf_counter() - begin, "peak_mb": peak[0],
                "hostile": hostile.result()}  # fmt: skip


def _make_bundle(folder: Path) -> Path:
    sys.path.insert(0, str(PROJECT / "tests"))
    made: Path = import_module("tiny_bundle").make_bundle(folder)
    return made


def _picture() -> bytes:
    """Draw an image as ultrasound machines write them, 500 x 500 pixels."""
    rng = np.random.default_rng(0)
    grey = np.clip(rng.gamma(4, np.linspace(27, 10, 500)[:, None], (500, 500)), 0, 255).astype(np.uint8)
    return _encode(Image.fromarray(grey).convert("RGB"))


def _encode(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _visit(page: Page, picture: bytes, repeats: int) -> list[float]:
    """Ask again and again, as one user does who looks at each answer for a moment."""
    taken = []
    for _ in range(repeats):
        taken.append(page.ask(picture))
        time.sleep(0.5)
    return taken


def _bad_files() -> list[bytes]:
    """Make files that take the page's time and memory: harmless, but at its bounds."""
    noise = np.random.default_rng(0).integers(0, 255, (_LARGE_SIDE, _LARGE_SIDE), np.uint8)
    large = _encode(Image.fromarray(noise))
    return [large, large[: len(large) // 2], b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)]


def _attack(page: Page, files: list[bytes], ended: threading.Event) -> dict[str, int]:
    """Send files, and begin uploads that do not go on, until the others have ended."""
    sent = {"answered": 0, "refused": 0, "half sent": 0}
    held: list[socket.socket] = []
    while not ended.is_set():
        for content in files:
            held.append(_send_half(page))
            sent["half sent"] += 1
            if len(held) > _HALF_SENT:
                held.pop(0).close()
            try:
                page.ask(content)
                sent["answered"] += 1
            except (RuntimeError, httpx.HTTPError):
                sent["refused"] += 1
            if ended.is_set():
                break
    for connection in held:
        connection.close()
    return sent


def _send_half(page: Page) -> socket.socket:
    """Begin an upload, and keep the connection."""
    address = urlsplit(page.url)
    connection = socket.create_connection((address.hostname, address.port))
    boundary = secrets.token_hex(8)
    head = (
        f"POST {address.path}upload HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 50000000\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    )
    with suppress(OSError):
        connection.sendall(head.encode() + bytes(100_000))
    return connection


def _watch_memory(pid: int, peak: list[float], ended: threading.Event) -> None:
    """Note the largest memory of a process with its children, in MB; what they share counts once."""
    while not ended.wait(_SAMPLE_S):
        peak[0] = max(peak[0], memory_mb(pid)[0])


def main() -> int:
    """Run the command line: 0 when the goals are met, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page_load", description=__doc__)
    parser.add_argument("--users", type=int, default=20, help="at once, one of them hostile (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="images of each other user (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="write into benchmarks/results/quick/")
    options = parser.parse_args()
    about = provenance() | {"command": " ".join(["python", "-m", "benchmarks.page_load", *sys.argv[1:]])}
    stats = measure(options.users, options.repeats)
    report.save(report.RESULTS / "quick" if options.quick else report.RESULTS, "page_load", about, stats)
    shares = quantiles(stats["answers"], n=100, method="inclusive")
    hostile = ", ".join(f"{number} {kind}" for kind, number in stats["hostile"].items())
    say(f"{len(stats['answers'])} answers to {options.users - 1} users in {stats['seconds']:.0f} s; hostile: {hostile}")
    say(f"p50 {shares[49]:.2f} s, p99 {shares[98]:.2f} s (goal {P99_GOAL:g}), longest {max(stats['answers']):.2f} s")
    say(f"peak memory of the page with its children: {stats['peak_mb']:.0f} MB (goal {MEMORY_GOAL})")
    return int(shares[98] > P99_GOAL or stats["peak_mb"] > MEMORY_GOAL)


if __name__ == "__main__":
    sys.exit(main())
