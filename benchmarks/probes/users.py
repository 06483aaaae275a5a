"""Users who ask the page at once, each as a browser does: seconds from upload to answer."""

import argparse
import json
import re
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.memory import KB_IN_MB
from benchmarks.processes import MeasurementError, kill, start

_START_S, _ANSWER_S = 120, 120
_UNTIMED = 2


class Page:
    """The page's addresses, as a browser finds them.

    Args:
        url: Where the page is.
    """

    def __init__(self, url: str) -> None:
        self.url = f"{url}gradio_api/"
        config = httpx.get(f"{url}config", timeout=_ANSWER_S).json()
        self.asked = next(
            dependency["id"]
            for dependency in config["dependencies"]
            if any(event == "upload" for _, event in dependency["targets"])
        )

    def ask(self, picture: bytes) -> float:
        """Send a picture and wait for its answer.

        Returns:
            Seconds.
        """
        session = secrets.token_hex(8)
        begin = time.perf_counter()
        with httpx.Client(base_url=self.url, timeout=_ANSWER_S) as client:
            # As the page's own script does: a random name, so that no two users share a file.
            sent = client.post("upload", files={"files": (secrets.token_hex(8), picture)}).raise_for_status()
            (path,) = sent.json()
            question = {"fn_index": self.asked, "data": [], "event_data": {"path": path}, "session_hash": session}
            client.post("queue/join", json=question).raise_for_status()
            with client.stream("GET", "queue/data", params={"session_hash": session}) as events:
                for line in events.iter_lines():
                    message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                    if message.get("msg") == "process_completed":
                        _check(message)
                        return time.perf_counter() - begin
        raise RuntimeError("the page ended without an answer")


def _check(message: dict[str, Any]) -> None:
    """Make sure that the page answered, and did not refuse."""
    if not message["success"] or "<img" not in str(message["output"]["data"]):
        raise RuntimeError(f"no answer: {str(message['output'])[:300]}")


@contextmanager
def served(bundle: Path, precision: str) -> Iterator[tuple[Page, "subprocess.Popen[Any]"]]:
    """Start the page that answers on the server by its command, and end it."""
    with running_page(bundle, "--precision", precision) as (address, process):
        yield Page(address), process


@contextmanager
def running_page(bundle: Path, *options: str) -> Iterator[tuple[str, "subprocess.Popen[Any]"]]:
    """Start the page of a bundle by its command, and end it: its address and its process."""
    command: list[str | Path] = ["python", "-m", "bus_lightning.diagnosis.app", bundle, "--port", "0", *options]
    with tempfile.NamedTemporaryFile("w+") as output:
        process = start(command, output)
        try:
            yield _address(process, Path(output.name)), process
        finally:
            kill(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            kill(process)
            process.wait()


def _address(process: "subprocess.Popen[Any]", output: Path) -> str:
    """Wait for the line that names the address."""
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        if match := re.search(r"http://\S+/", output.read_text()):
            return match[0]
        time.sleep(0.1)
    raise MeasurementError(f"the page did not start: {output.read_text()[-500:]}")


def peak_mb(process: "subprocess.Popen[Any]") -> float:
    """Read the largest resident memory of a process that runs, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) * KB_IN_MB


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True, help="pictures of each user, one after another")
    parser.add_argument("--precision", required=True)
    options = parser.parse_args()
    picture = options.picture.read_bytes()
    with served(options.bundle, options.precision) as (page, process):
        alone = [page.ask(picture) for _ in range(_UNTIMED + options.repeats)][_UNTIMED:]
        begin = time.perf_counter()
        with ThreadPoolExecutor(options.users) as users:
            together = list(users.map(page.ask, [picture] * (options.users * options.repeats)))
        seconds = time.perf_counter() - begin
        peak = peak_mb(process)
    print(json.dumps({"alone": alone, "together": together, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
