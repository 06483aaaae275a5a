"""What the two probes of the audit share: the command in its own process, without a cache, timed."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import bus_lightning
from bus_lightning.data.phantom import draw_phantom

_ROOT = Path(bus_lightning.__file__).parents[1]  # of the build that PYTHONPATH names


def time_audit(variable: str, name: str, images: int) -> None:
    """Audit a data set from its first image, and print the numbers as the last line.

    Args:
        variable: Environment variable with the folder of the real data set.
        name: Name of its config; without the folder, synthetic images take its place.
        images: Number of synthetic images, that of the real ones.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True, help="folder for what the probe prepares")
    work = Path(parser.parse_args().work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    data = [f"data={name}"]
    if not os.environ.get(variable):
        if not (folder := work / "phantom").is_dir():
            draw_phantom(folder, images)
        data = [str(folder)]
    for leftover in ("cache", "audit"):
        shutil.rmtree(work / leftover, ignore_errors=True)
    command = [sys.executable, "-m", "bus_lightning.data.audit", *data, "--out", str(work / "audit"),
               "--cache", str(work / "cache")]  # fmt: skip
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(_ROOT)}, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "processor_seconds": used, "peak_mb": after.ru_maxrss / 1024}))
