"""What the four probes of the report share: the runs of the demo, and the command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from timed import time_command

import bus_lightning

ROOT = Path(bus_lightning.__file__).parents[1]  # of the build that PYTHONPATH names
MODELS = "efficientnet_lite0,resnet50,deepcardinal50,u2net_lite"


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


def time_report(group: Path) -> dict[str, float]:
    """Make a report in its own process; see `time_command`."""
    command = [sys.executable, "-m", "bus_lightning.launch.report", str(group)]
    return time_command(command, cwd=group.parents[1], env=_environment(), stdout=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
