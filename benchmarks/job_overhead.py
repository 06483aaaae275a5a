"""Seconds of a grid's job without its training: ours with each logger, and plain Hydra with Lightning."""

import shutil
from collections.abc import Callable
from statistics import mean
from typing import Any

from benchmarks.contestants import CLOCK, limits
from benchmarks.processes import SCRATCH, run, say
from benchmarks.report import spread, table
from benchmarks.stamps import read_stamps

ABOUT = {"data": "phantom"}  # also with BUSI_ROOT
_FOLDER = SCRATCH / "job_overhead"
_FEW, _MANY = 2, 10
_PLAIN = "plain, csv"
_OPTIONS = [*limits(2, 1, 1), CLOCK, f"+callbacks.clock.path={_FOLDER}/${{seed}}.json"]
# The small network that debug_size=true makes of a ResNet.
_NET = ["net._target_=bus_lightning.models.classifiers.resnet", "+net.block=basic", "+net.layers=[1,1,1,1]",
        "+net.in_channels=3"]  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """Time grids of few and of many jobs, in turns, each from nothing but the cache."""
    contestants: dict[str, Callable[[str], list[str]]] = {
        "ours, no logger": lambda seeds: _ours(seeds, "none"),
        "ours, csv": lambda seeds: _ours(seeds, "csv"),
        "ours, W&B offline": lambda seeds: _ours(seeds, "wandb"),
        _PLAIN: _plain,
    }
    run(_ours("0,1", "none"), threads=1)  # draws the images and makes the cache
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for number in range(1 if quick else 5):
        order = list(contestants) if number % 2 == 0 else list(reversed(contestants))
        for name in order:
            few, many = (_grid(contestants[name], jobs) for jobs in (_FEW, _MANY))
            slope, busy = ((many[key] - few[key]) / (_MANY - _FEW) for key in ("seconds", "busy"))
            rounds[name].append({"slope": slope, "training": many["training"], "busy": busy})
            say(f"{name:20s} {slope:.2f} s a job, {many['training']:.2f} s of it training; {busy:.2f} s of a processor")
    shutil.rmtree(_FOLDER, ignore_errors=True)
    return {"jobs": [_FEW, _MANY], "rounds": rounds}


def _grid(command: Callable[[str], list[str]], jobs: int) -> dict[str, float]:
    """Time a grid, and the training within one of its jobs."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    finished = run(command(",".join(map(str, range(jobs)))), threads=1)
    moments = [read_stamps(_FOLDER / f"{seed}.json") for seed in range(jobs)]
    # The first job of a process trains more slowly, and it is in the grids of both lengths.
    training = mean(moment["last_step_end"] - moment["first_step"] for moment in moments[1:])
    return {"seconds": finished.seconds, "busy": finished.busy, "training": training}


def _ours(seeds: str, logger: str) -> list[str]:
    return ["python", "train.py", "-m", "model=resnet34", f"seed={seeds}", "data=phantom", "debug_size=true",
            "data.size=64", f"logger={logger}", f"runs_dir={_FOLDER}", *_OPTIONS]  # fmt: skip


def _plain(seeds: str) -> list[str]:
    return ["python", "-m", "benchmarks.plain.train", "-m", "model=resnet34", f"seed={seeds}", "size=64",
            "data_root=data/phantom", f"hydra.sweep.dir={_FOLDER}", *_NET, *_OPTIONS]  # fmt: skip


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `job_overhead`."""
    overheads = {
        name: [each["slope"] - each["training"] for each in rounds] for name, rounds in results["rounds"].items()
    }  # fmt: skip
    rows = []
    for name, rounds in results["rounds"].items():
        ratios = [overhead / plain for overhead, plain in zip(overheads[name], overheads[_PLAIN], strict=True)]
        rows.append([name, spread([each["slope"] for each in rounds]), spread([each["training"] for each in rounds]),
                     spread(overheads[name]), spread(ratios), spread([each["busy"] for each in rounds])])  # fmt: skip
    headings = ["seconds", "a further job", "its training", "**everything else**", "times plain's",
                "processor seconds of the job"]  # fmt: skip
    return {"job_overhead": table(headings, rows)}
