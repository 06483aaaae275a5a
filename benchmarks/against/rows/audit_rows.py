"""What the two probes of the audit share: the command in its own process, without a cache, timed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from timed import print_result, time_command, work_folder

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
    work = work_folder()
    data = [f"data={name}"]
    if not os.environ.get(variable):
        if not (folder := work / "phantom").is_dir():
            draw_phantom(folder, images)
        data = [str(folder)]
    for leftover in ("cache", "audit"):
        shutil.rmtree(work / leftover, ignore_errors=True)
    command = [sys.executable, "-m", "bus_lightning.data.audit", *data, "--out", str(work / "audit"),
               "--cache", str(work / "cache")]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    print_result(time_command(command, env=environment, stdout=subprocess.DEVNULL))
