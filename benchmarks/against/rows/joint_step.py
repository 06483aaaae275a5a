"""Time a training step of the joint network with EfficientNet-Lite0, in a run on synthetic images."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="a folder for images, caches and runs")
    parser.add_argument("--steps", type=int, default=8, help="training steps (default: %(default)s)")
    options = parser.parse_args()
    work = options.work.absolute()
    shutil.rmtree(work / "runs", ignore_errors=True)
    command = [sys.executable, "train.py", "model=joint_unet_efficientnet_lite0", "model.weights=null", "data=phantom",
               f"data.root={work / 'phantom'}", f"data.cache={work / 'cache'}", f"runs_dir={work / 'runs'}",
               "data.size=192", "data.batch_size=8", "logger=none", "trainer.max_epochs=1",
               f"trainer.limit_train_batches={options.steps}", "trainer.limit_val_batches=1",
               "trainer.limit_test_batches=1"]  # fmt: skip
    subprocess.run(command, check=True, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    status = json.loads(next((work / "runs").rglob("status.json")).read_text())
    rate = status["images_per_second"]  # without the first step
    print(json.dumps({"seconds": 8 / rate, "images_per_second": rate}))


if __name__ == "__main__":
    main()
