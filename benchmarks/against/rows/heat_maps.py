"""Time the heat maps of 10 test images of each of four networks on BUSI (BUSI_ROOT), or on as many synthetic images."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from timed import print_result, time_command, work_folder

import bus_lightning

_ROOT = Path(bus_lightning.__file__).parents[1]  # of the build that PYTHONPATH names
_MODELS = ("efficientnet_lite0", "resnet34", "deepcardinal50", "alexnet")
_IMAGES = 10  # of each run


def main() -> None:
    """Run the command line."""
    work = work_folder()
    group = work / "runs" / "explained"
    if len(list(group.glob("*/metrics.json"))) < len(_MODELS):
        data = ["data=busi"] if os.environ.get("BUSI_ROOT") else ["data=phantom", "data.phantom.images=780"]
        limits = [f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
        _run(work, "train.py", "-m", f"model={','.join(_MODELS)}", *data, "data.size=128", "trainer.max_epochs=1",
             *limits, "group=explained", "logger=none")  # fmt: skip
    for folder in group.glob("*/explain"):
        shutil.rmtree(folder)
    options = ("explain=true", f"explain_options.images={_IMAGES}")
    print_result(_run(work, "evaluate.py", f"runs={group}/*", *options))


def _run(work: Path, script: str, *words: str) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "WANDB_MODE": "offline"}
    command = [sys.executable, str(_ROOT / script), *words]
    return time_command(command, cwd=work, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
