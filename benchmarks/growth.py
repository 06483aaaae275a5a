"""How seconds and memory grow with the number of images, and of runs in a grid; also those of two whole commands."""

import json
import math
import random
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.against.rows.varied_runs import make_runs
from benchmarks.contestants import limits
from benchmarks.processes import SCRATCH, Finished, probe, run, say
from benchmarks.report import table

ABOUT = {"data": "phantom"}  # also with BUSI_ROOT
_STAGES = {
    "index": "index",
    "audit": "audit",
    "split": "split",
    "epochs": "cache and two epochs",
    "metrics": "metrics of n cases",
}
_COMMANDS = {"audit": "audit of n images", "report": "report of n runs"}
_FOLDER = SCRATCH / "growth"


def measure(quick: bool) -> dict[str, Any]:
    """Measure each stage on folders of growing size, then tables of growing grids."""
    images: dict[int, dict[str, Any]] = {}
    for number in (78, 780) if quick else (780, 7_800, 31_200):
        folder = _FOLDER / f"images-{number}"
        probe("images", folder, number, timeout=3600)
        shutil.rmtree(_FOLDER / "cache", ignore_errors=True)
        images[number] = {}
        for stage in _STAGES:
            images[number][stage] = _stage(stage, folder, number)
    runs = {number: _stage("runs", _grid_of(number), number) for number in ((10, 100) if quick else (10, 100, 1000))}
    sizes = {"audit": (78, 156), "report": (20, 40)} if quick else {
        "audit": (780, 1_560, 3_120, 6_240, 12_480, 31_200), "report": (20, 100, 1000)}  # fmt: skip
    commands = {name: {size: _command(name, size) for size in sizes[name]} for name in _COMMANDS}
    return {"images": images, "runs": runs, "commands": commands}


def _command(name: str, number: int) -> dict[str, float]:
    """Measure a command as users give it, without what an earlier one has kept."""
    finished = _audit(number) if name == "audit" else _report(number)
    say(f"{name:8s} {number:6d}: {finished.seconds:.1f} s, processor {finished.busy:.1f} s, {finished.peak_mb:.0f} MB")
    return {"seconds": finished.seconds, "processor_seconds": finished.busy, "peak_mb": finished.peak_mb}


def _audit(number: int) -> Finished:
    folder, out = _FOLDER / f"images-{number}", _FOLDER / "audit"
    probe("images", folder, number, timeout=3600)
    shutil.rmtree(out, ignore_errors=True)
    return run(["python", "-m", "bus_lightning.data.audit", folder, "--out", out, "--cache", out / "cache"],
               timeout=7200)  # fmt: skip


def _report(number: int) -> Finished:
    group = make_runs(_FOLDER / "reported" / f"of_{number}", number)
    for name in ("report", ".summaries", "wandb"):
        shutil.rmtree(group / name, ignore_errors=True)
    return run(["python", "-m", "bus_lightning.launch.report", group], timeout=7200)


def _stage(stage: str, folder: Path, number: int) -> dict[str, float]:
    """Measure one stage in a separate process."""
    cost, finished = probe("stages", stage, folder, timeout=7200)
    say(f"{stage:8s} {number:6d}: {cost['seconds']:.2f} s, peak {finished.peak_mb:.0f} MB")
    return {"seconds": cost["seconds"], "peak_mb": finished.peak_mb}


def _grid_of(number: int) -> Path:
    """Copy a finished run many times, with other numbers in each."""
    folder, model = _FOLDER / f"runs-{number}", _FOLDER / "run"
    if not list(model.rglob("metrics.json")):
        run(["python", "train.py", "data=phantom", "model=resnet34", "debug_size=true", "data.size=64", "logger=csv",
             "name=one", f"runs_dir={model}", *limits(1, 1, 1000)])  # fmt: skip
    original = next(model.rglob("metrics.json")).parent
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(0)
    for copy in range(number):
        target = folder / f"resnet34__seed-{copy}"
        target.mkdir(parents=True)
        for name in ("status.json", "config.yaml", "history.csv"):
            shutil.copy(original / name, target)
        scores = json.loads((original / "metrics.json").read_text())
        for part in scores.values():
            part.update({name: rng.random() for name, value in part.items() if isinstance(value, float)})
        (target / "metrics.json").write_text(json.dumps(scores))
        lines = (original / "cases.csv").read_text().splitlines()
        (target / "cases.csv").write_text("\n".join([lines[0], *rng.sample(lines[1:], len(lines) - 1)]) + "\n")
    return folder


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `growth`, `runs` and `growth_commands`."""
    # JSON knows no numbers as keys.
    images = {int(number): cost for number, cost in results["images"].items()}
    stages = {label: {number: cost[stage] for number, cost in images.items()} for stage, label in _STAGES.items()}
    runs = {"table of a grid": {int(number): cost for number, cost in results["runs"].items()}}
    commands = _growth_of_commands(results["commands"]) if "commands" in results else "Not measured."
    return {"growth": _growth(stages, "images"), "runs": _growth(runs, "runs"), "growth_commands": commands}


def _growth_of_commands(commands: dict[str, dict[str, dict[str, float]]]) -> str:
    """Make a table with a row per command and size; the exponent is fitted to all sizes of a command."""
    rows = []
    for name, by_size in commands.items():
        of_sizes = {int(size): values for size, values in by_size.items()}
        exponent = fit_exponent({size: values["processor_seconds"] for size, values in of_sizes.items()})
        for place, (size, values) in enumerate(of_sizes.items()):
            rows.append([
                "" if place else _COMMANDS[name], f"{size:,}", f"{values['seconds']:.1f}",
                f"{values['processor_seconds']:.1f}", f"{values['peak_mb']:,.0f}", "" if place else f"{exponent:.2f}",
            ])  # fmt: skip
    return table(["command", "n", "seconds", "of processor", "peak MB", "exponent of processor time"], rows)


def fit_exponent(values: dict[int, float]) -> float:
    """Fit the power of n with which a value grows, by least squares of the logarithms; n -> value."""
    x, y = np.log(list(values)), np.log(list(values.values()))
    return float(np.polyfit(x, y, 1)[0])


def _growth(stages: dict[str, dict[int, Any]], what: str) -> str:
    """Make a table of seconds and memory at each size, and of the exponents between the sizes."""
    sizes = list(next(iter(stages.values())))
    steps = list(pairwise(sizes))
    headings = [f"seconds (peak MB) with n {what}", *(f"{size:,}" for size in sizes),
                *(f"exponent {few:,} to {many:,}" for few, many in steps)]  # fmt: skip
    rows = [
        [label, *(f"{cost[size]['seconds']:.3g} ({cost[size]['peak_mb']:.0f})" for size in sizes),
         *(f"{_exponent(few, many, cost[few]['seconds'], cost[many]['seconds']):.2f}" for few, many in steps)]
        for label, cost in stages.items()
    ]  # fmt: skip
    allowed = [f"{_exponent(few, many, few * math.log(few), many * math.log(many)):.2f}" for few, many in steps]
    rows.append(["*n log n, the goal*", *[""] * len(sizes), *allowed])
    return table(headings, rows)


def _exponent(size: int, larger: int, value: float, larger_value: float) -> float:
    """Return the power of n with which a value grows."""
    return math.log(larger_value / value) / math.log(larger / size)
