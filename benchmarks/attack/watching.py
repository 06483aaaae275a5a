"""Run a command under watch: whether it goes on, and how much memory it and its children have."""

import os
import pty
import re
import select
import subprocess
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import memory_mb
from benchmarks.processes import kill, start

_EVERY_S = 0.05  # between two looks at the memory
_SIZE = (50, 100)  # rows and columns of the terminal


@dataclass(frozen=True)
class Watched:
    """How a command went.

    Attributes:
        code: The exit code, negative for a signal; None if it was ended because it did not go on, or took too much.
        hung: Whether it did not go on.
        longest: Largest number of seconds from one sign of progress to the next.
        together_mb: Largest memory of the command and its children at one moment; pages that they share count once.
        alone_mb: Largest resident memory of one of the processes.
        output: What it printed.
    """

    code: int | None
    hung: bool
    longest: float
    together_mb: float
    alone_mb: float
    output: str


def watch(
    command: list[str | Path], progress: re.Pattern[str], patience: float, most_mb: float, **environment: str
) -> Watched:
    """Run a command on a separate terminal, so that it shows its progress.

    Args:
        command: What to run; the word `python` stands for this interpreter.
        progress: What a sign of progress looks like in the output; its first group differs from one to the next.
        patience: Seconds without any progress after which the command is ended.
        most_mb: Memory of the command and its children at which they are ended, to protect this machine.
        environment: More variables.
    """
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, _SIZE)  # a progress bar needs some room
    with os.fdopen(slave, "w") as stream:
        process = start(command, stream, threads=1, **environment)
    output, seen, longest, together, alone = b"", "", 0.0, 0.0, 0.0
    begin = last = time.monotonic()
    looked, hung, ended = 0.0, False, False
    try:
        while not ended:
            ready, _, _ = select.select([master], [], [], _EVERY_S)
            if ready:
                try:
                    output += (read := os.read(master, 65_536))
                    ended = not read
                except OSError:  # all processes have closed the terminal
                    ended = True
                signs = progress.findall(output[-10_000:].decode(errors="replace"))
                if signs and signs[-1] != seen:
                    now = time.monotonic()
                    longest = max(longest, now - last) if seen else 0.0  # before the first sign it starts up
                    seen, last = signs[-1], now
            now = time.monotonic()
            if now - looked >= _EVERY_S:
                looked = now
                shared, single = memory_mb(process.pid)
                together, alone = max(together, shared), max(alone, single)
            hung = now - max(begin, last) > patience
            if hung or together > most_mb:
                break
            ended = ended or (process.poll() is not None and not ready)
        if ended:
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        code, hung = process.poll(), hung or (ended and process.poll() is None)
    finally:
        kill(process)
        process.wait()
        os.close(master)
    return Watched(code, hung, longest, together, alone, output.decode(errors="replace").replace("\r\n", "\n"))
