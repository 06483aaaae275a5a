"""What the probes share: the option `--work`, a timed command, and the numbers as the last line."""

import argparse
import json
import resource
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def work_folder() -> Path:
    """Read the option `--work` of a probe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True, help="folder for what the probe prepares")
    folder = Path(parser.parse_args().work).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def time_command(command: Sequence[str], **options: Any) -> dict[str, float]:
    """Run a command in its own process.

    Args:
        command: The program and its arguments.
        options: Of `subprocess.run`.

    Returns:
        `seconds`, `processor_seconds` of it and its children, `peak_mb` of the largest process that has ended so far.

    Raises:
        CalledProcessError: If it fails.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, **options)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor_seconds": used, "peak_mb": after.ru_maxrss * 1024 / 1e6}


def print_result(result: dict[str, Any]) -> None:
    """Print the numbers of a probe as its last line."""
    print(json.dumps(result))
