"""A whole comparison grid of five models, seconds: start-up, data, training, evaluation, files; ours against plain."""

import importlib.util
import shutil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contestants import limits, ours, plain
from benchmarks.processes import CORES, SCRATCH, run, say
from benchmarks.report import spread, table

GOAL = 2.5
PLAIN, OURS, SIDE_BY_SIDE = "plain", "ours", "ours, side by side"
# The paper's comparison, longest first. ResNet-34's ImageNet weights cost no time: it starts at random here.
MODELS = "deepcardinal50,resnet50,resnet34_pretrained,resnet34,alexnet"
_RANDOM = "model.weights=null"
_SMALL_JOBS = ["debug_size=true", "data.size=64", *limits(8, 2, 4)]
_JOBLIB = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={CORES}"]


def measure(quick: bool) -> dict[str, Any]:
    """Run the grids in alternated rounds, and the small one under each launcher."""
    models = "resnet34,alexnet" if quick else MODELS
    shutil.rmtree(SCRATCH / "grid-cache", ignore_errors=True)
    cold, warm = (_first_use("resnet34") for _ in range(2))
    say(f"{'first use of the data':26s} {cold - warm:.1f} s more than the second")
    names = [PLAIN, OURS, *([SIDE_BY_SIDE] if _has_joblib() else [])]
    rounds: list[dict[str, float]] = []
    for number in range(1 if quick else 3):
        order = names if number % 2 == 0 else names[::-1]
        rounds.append({name: _grid_seconds(name, models, quick) for name in order})
    return {
        "models": models.split(","), "whole": not quick, "rounds": rounds, "first_use": [cold, warm],
        "launchers": _launchers(1 if quick else 2),
    }  # fmt: skip


def _has_joblib() -> bool:
    """Return whether Hydra's plugin is installed."""
    find = importlib.util.find_spec
    return bool(find("hydra_plugins") and find("hydra_plugins.hydra_joblib_launcher"))


def _first_use(models: str) -> float:
    """Take the data into use, with one batch of training, and keep what that leaves in the cache."""
    folder = _empty("grid")
    options = [f"data.cache={SCRATCH / 'grid-cache'}", "debug_size=true", _RANDOM, *limits(1, 1, 1)]
    return run(ours(models, folder, *options)).seconds


def _grid_seconds(name: str, models: str, quick: bool) -> float:
    """Run one grid from nothing but the cache: an epoch over all images, or a batch of each part."""
    folder = _empty("grid")
    shared = limits(1, 1, 1) if quick else ["trainer.max_epochs=1"]
    own = [_RANDOM, f"data.cache={SCRATCH / 'grid-cache'}", "group=grid"]
    launcher, threads = (_JOBLIB, 1) if name == SIDE_BY_SIDE else ([], CORES)
    command = plain(models, folder, *shared) if name == PLAIN else ours(models, folder, *shared, *own, *launcher)
    seconds = run(command, threads=threads).seconds
    say(f"{name:26s} {seconds:.1f} s")
    shutil.rmtree(folder)
    return seconds


def _launchers(rounds: int) -> dict[str, list[float]]:
    """Time five small jobs one after another with all cores, and side by side with a thread each."""
    ways: dict[str, tuple[list[str], int]] = {"one after another": ([], CORES)}
    if _has_joblib():
        ways["joblib, side by side"] = (_JOBLIB, 1)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (launcher, threads) in ways.items():
            folder = _empty("grid")
            more = ["seed=0,1,2,3,4", "logger=csv", *_SMALL_JOBS, *launcher]
            command = ours("resnet34", folder, *more)
            seconds[name].append(run(command, threads=threads).seconds)
            say(f"{name:26s} {seconds[name][-1]:.1f} s")
    return seconds


def _empty(name: str) -> Path:
    """Give a scratch folder with nothing in it."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `grid` and `launchers`."""
    rounds = results["rounds"]
    part = "an epoch of all images" if results["whole"] else "a batch of each part"
    cold, warm = results["first_use"]
    rows = []
    for name in rounds[0]:
        ratio = [round_[PLAIN] / round_[name] for round_ in rounds]
        measured = [spread([round_[name] for round_ in rounds], 1), spread(ratio) if name != PLAIN else "1"]
        goal, once = ("", "") if name == PLAIN else (GOAL, f"{cold - warm:.1f}")
        rows.append([name, *measured, goal, once])
    launchers = results["launchers"]
    base = launchers["one after another"]
    by_launcher = [
        [name, spread(seconds, 1), f"{median(base) / median(seconds):.2f}"] for name, seconds in launchers.items()
    ]
    if len(launchers) == 1:
        by_launcher.append(["joblib, side by side", "not measured: hydra-joblib-launcher is not installed", ""])
    title = f"{len(results['models'])} models, {part}"
    return {
        "grid": table([title, "wall time, s", "times as fast", "goal, at least", "once, on first use, s"], rows),
        "launchers": table(["five small jobs", "seconds", "times as fast"], by_launcher),
    }
