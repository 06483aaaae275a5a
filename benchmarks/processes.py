"""Run a command as users do, in a fresh process: seconds, peak memory, output; nothing outlives its time limit."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.memory import KB_IN_MB

PROJECT = Path(__file__).parent.parent
SCRATCH = Path(__file__).parent / "scratch"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MeasurementError(Exception):
    """A measured command failed or took too long."""


@dataclass(frozen=True)
class Finished:
    """How a command went.

    Attributes:
        started: When it was given, in seconds since the epoch.
        seconds: Wall time.
        busy: Seconds that processors worked for it and its children.
        peak_mb: Largest resident memory of the process or of any child it waited for, in MB.
        output: Standard output and error.
    """

    started: float
    seconds: float
    busy: float
    peak_mb: float
    output: str


def start(
    command: Sequence[str | Path], stream: IO[str], threads: int = CORES, folder: Path = PROJECT, **environment: str
) -> "subprocess.Popen[Any]":
    """Start a command as the head of a new process group.

    Args:
        command: What to run; the word `python` stands for this interpreter.
        stream: File for its output and errors.
        threads: OMP_NUM_THREADS.
        folder: Where it starts.
        environment: More variables.
    """
    words = [sys.executable if word == "python" else str(word) for word in command]
    settings = {"OMP_NUM_THREADS": str(threads), "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1"}
    # This process has loaded little: a child's peak begins with the memory of its parent.
    return subprocess.Popen(
        words, cwd=folder, env=os.environ | settings | environment, stdin=subprocess.DEVNULL, stdout=stream,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def run(
    command: Sequence[str | Path], threads: int = CORES, timeout: float = 1800, folder: Path = PROJECT,
    **environment: str,
) -> Finished:  # fmt: skip
    """Run a command and wait for it.

    Args:
        command: What to run; the word `python` stands for this interpreter.
        threads: OMP_NUM_THREADS.
        timeout: Seconds until the process and its children are killed.
        folder: Where it starts; by default the project's.
        environment: More variables.

    Raises:
        MeasurementError: When it fails or is killed; with the end of its output.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as stream:
        started, begin = time.time(), time.perf_counter()
        process = start(command, stream, threads, folder, **environment)
        alarm = threading.Timer(timeout, kill, [process])
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            alarm.cancel()
            kill(process)
            process.wait()  # where a signal has ended the waiting
        stream.seek(0)
        output = stream.read()
    if process.returncode:
        end = "\n".join(output.splitlines()[-15:])
        words = " ".join(map(str, command))
        raise MeasurementError(f"exit code {process.returncode} after {seconds:.0f} s: {words}\n{end}")
    unit = 1e-6 if sys.platform == "darwin" else KB_IN_MB  # bytes there, kilobytes here
    return Finished(started, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, output)


def probe(module: str, *arguments: object, **options: Any) -> tuple[dict[str, Any], Finished]:
    """Run one of the probes and read the JSON in its last line.

    Args:
        module: Name within `benchmarks.probes`.
        arguments: Its command line.
        options: Those of `run`.
    """
    command = ["python", "-m", f"benchmarks.probes.{module}", *map(str, arguments)]
    finished = run(command, **options)
    return json.loads(finished.output.splitlines()[-1]), finished


def say(line: str) -> None:
    """Show a line of progress."""
    print(line, flush=True)


def kill(process: "subprocess.Popen[Any]", sent: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process and all that it started; those that have ended are no concern."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, sent)
