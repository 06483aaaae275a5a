"""Time a training on synthetic images from its command to its first step; the images and caches are there already."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

# The callback is in its own module: the processor time of a training must be read in its process.
_CLOCK = """
import json, os, time
import lightning.pytorch as pl

class Clock(pl.Callback):
    def on_train_batch_start(self, *_):
        if not os.path.exists(os.environ["FIRST_STEP"]):
            used = os.times()
            with open(os.environ["FIRST_STEP"], "w") as file:
                json.dump({"at": time.time(), "processor_seconds": sum(used[:4])}, file)
"""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="a folder for images, caches and runs")
    work = parser.parse_args().work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    (work / "first_step_clock.py").write_text(_CLOCK)
    if not (work / "runs").is_dir():  # draws and audits the images, and compiles modules
        _train(work)
    print(json.dumps(_train(work)))


def _train(work: Path) -> dict[str, float]:
    moment = work / "first_step.json"
    moment.unlink(missing_ok=True)
    limits = [f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    command = [sys.executable, "train.py", "experiment=demo", "trainer.max_epochs=1", *limits, "name=first",
               "rerun=true", f"runs_dir={work / 'runs'}", f"data.root={work / 'phantom'}",
               f"data.cache={work / 'cache'}", "+callbacks.clock._target_=first_step_clock.Clock"]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join(filter(None, [str(work), os.environ.get("PYTHONPATH")]))
    environment |= {"PYTHONPATH": path, "WANDB_MODE": "offline", "FIRST_STEP": str(moment)}
    started = time.time()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = json.loads(moment.read_text())
    return {"seconds": first["at"] - started, "processor_seconds": first["processor_seconds"]}


if __name__ == "__main__":
    main()
