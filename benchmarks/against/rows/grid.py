"""Time a grid of the paper's five networks from its command to its exit, with few training steps.

What is around the steps is most of it: evaluations, checkpoints, tables, figures and records. The images, their audit
and the cache of decoded images are there already.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from timed import print_result, time_command

_MODELS = "deepcardinal50,resnet50,resnet34_pretrained,resnet34,alexnet"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="a folder for images, caches and runs")
    parser.add_argument("--models", default=_MODELS, help="networks of the grid (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="training steps of each network (default: %(default)s)")
    options = parser.parse_args()
    options.work = options.work.absolute()
    if not (options.work / "ready").is_file():
        _train(options, "resnet34", "debug_size=true", "trainer.limit_train_batches=1")
        (options.work / "ready").touch()
    print_result(_train(options, options.models, f"trainer.limit_train_batches={options.steps}"))


def _train(options: argparse.Namespace, models: str, *overrides: str) -> dict[str, float]:
    runs = options.work / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    data = [] if os.environ.get("BUSI_ROOT") else ["data=phantom", f"data.root={options.work / 'phantom'}"]
    command = [sys.executable, "train.py", "-m", f"model={models}", "seed=0", "trainer.max_epochs=1",
               "model.weights=null", f"data.size={options.size}", f"data.cache={options.work / 'cache'}",
               f"runs_dir={runs}", "group=grid", *data, *overrides]  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_DATA_DIR": str(options.work)}
    return time_command(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
