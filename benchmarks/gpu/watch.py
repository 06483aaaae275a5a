"""Watch how busy the GPU is, and how much of its memory is used, while other processes work on it."""

import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from statistics import mean

from benchmarks.processes import kill

_SMI = ("nvidia-smi", "--query-gpu=timestamp,utilization.gpu,memory.used", "--format=csv,noheader,nounits",
        "-lms", "250", "-i")  # fmt: skip
_TIME = "%Y/%m/%d %H:%M:%S.%f"  # as nvidia-smi writes it, in the machine's time zone


class Samples:
    """What was seen: percent of the time in which the GPU worked, and its used memory, at each moment."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float, float]] = []

    def between(self, begin: float, end: float) -> dict[str, float] | None:
        """Summarise the moments between two times, in seconds since 1970.

        Returns:
            Mean `utilisation` in percent, and the largest `used_mb`; None if there was no sample.
        """
        seen = [(busy, used) for when, busy, used in self.seen if begin <= when <= end]
        if not seen:
            return None
        return {"utilisation": mean(busy for busy, _ in seen), "used_mb": max(used for _, used in seen)}


@contextmanager
def watched(command: Sequence[str] | None = None) -> Iterator[Samples]:
    """Watch while the block runs; without nvidia-smi there are no samples.

    Args:
        command: Prints `time, percent, megabytes` again and again; by default nvidia-smi, for the first visible GPU.
    """
    samples = Samples()
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    try:
        process = subprocess.Popen(
            command or [*_SMI, first], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
    except OSError:
        yield samples
        return
    reader = threading.Thread(target=_read, args=(process, samples))
    reader.start()
    try:
        yield samples
    finally:
        kill(process)  # a child that lives on would keep the pipe open
        process.wait()
        reader.join()
        if process.stdout:
            process.stdout.close()


def _read(process: "subprocess.Popen[str]", samples: Samples) -> None:
    """Note what each line says; one without numbers, such as `[N/A]`, is left out."""
    for line in process.stdout or ():
        with suppress(ValueError):
            when, busy, used = line.split(",")
            moment = datetime.strptime(when.strip(), _TIME).timestamp()
            samples.seen.append((moment, float(busy), float(used)))
