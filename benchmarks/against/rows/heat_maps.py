"""Time the heat maps of 40 test images of four networks on BUSI (BUSI_ROOT), or on as many synthetic images."""

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

_ROOT = Path(bus_lightning.__file__).parents[1]  # of the build that PYTHONPATH names
_MODELS = ("efficientnet_lite0", "resnet34", "deepcardinal50", "alexnet")
_IMAGES = 40  # of each run


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for what the probe prepares")
    work = Path(parser.parse_args().work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    group = work / "runs" / "explained"
    if len(list(group.glob("*/metrics.json"))) < len(_MODELS):
        data = ["data=busi"] if os.environ.get("BUSI_ROOT") else ["data=phantom", "data.phantom.images=780"]
        limits = [f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
        _run(work, "train.py", "-m", f"model={','.join(_MODELS)}", *data, "data.size=128", "trainer.max_epochs=1",
             *limits, "group=explained", "logger=none")  # fmt: skip
    for folder in group.glob("*/explain"):
        shutil.rmtree(folder)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _run(work, "evaluate.py", f"runs={group}/*", "explain=true", f"explain_options.images={_IMAGES}")
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "processor_seconds": used, "peak_mb": after.ru_maxrss / 1024}))


def _run(work: Path, script: str, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "WANDB_MODE": "offline"}
    subprocess.run([sys.executable, str(_ROOT / script), *words], cwd=work, check=True, env=environment,
                   stdout=subprocess.DEVNULL)  # fmt: skip


if __name__ == "__main__":
    main()
