"""What the four probes of the report share: a command in its own process, timed."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bus_lightning

ROOT = Path(bus_lightning.__file__).parents[1]  # of the build that PYTHONPATH names
MODELS = "efficientnet_lite0,resnet50,deepcardinal50,u2net_lite"


def work_folder() -> Path:
    """Read the option `--work` of a probe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True, help="folder for what the probe prepares")
    folder = Path(parser.parse_args().work).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def demo_runs(work: Path) -> Path:
    """Train four networks on synthetic images, as `make demo` does, for one epoch; only once in a work folder."""
    group = work / "runs" / "demo"
    if len(list(group.glob("*/metrics.json"))) < MODELS.count(",") + 1:
        command = [sys.executable, str(ROOT / "train.py"), "-m", f"model={MODELS}", "experiment=demo", "group=demo",
                   "trainer.max_epochs=1"]  # fmt: skip
        subprocess.run(command, cwd=work, check=True, env=_environment(), stdout=subprocess.DEVNULL)
    return group


def forget(group: Path) -> None:
    """Remove a report and all that is kept for the next one."""
    for name in ("report", ".summaries", "wandb"):
        shutil.rmtree(group / name, ignore_errors=True)


def time_report(group: Path) -> dict[str, Any]:
    """Make a report in a separate process.

    Returns:
        `seconds`, `processor_seconds` of it and its children, `peak_mb` of the largest of these processes.
    """
    command = [sys.executable, "-m", "bus_lightning.launch.report", str(group)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=group.parents[1], check=True, env=_environment(), stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor_seconds": used, "peak_mb": after.ru_maxrss / 1024}


def print_result(result: dict[str, Any]) -> None:
    """Print the numbers of a probe as its last line."""
    print(json.dumps(result))


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
