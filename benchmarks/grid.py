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
# The paper's comparison. ResNet-34's ImageNet weights take no part in the time: it starts at random here.
MODELS = "resnet34_pretrained,resnet34,resnet50,alexnet,deepcardinal50"
_RANDOM = "model.weights=null"
_SMALL_JOBS = ["debug_size=true", "data.size=64", *limits(8, 2, 4)]


def measure(quick: bool) -> dict[str, Any]:
    """Run both grids in alternated rounds, and the small one under each launcher."""
    models = "resnet34,alexnet" if quick else MODELS
    shutil.rmtree(SCRATCH / "grid-cache", ignore_errors=True)
    batches = (1, 1, 1) if quick else (8, 2, 4)
    cold, warm = (_first_use("resnet34") for _ in range(2))
    say(f"{'first use of the data':26s} {cold - warm:.1f} s more than the second")
    rounds = []
    for number in range(1 if quick else 3):
        names = ("ours", "plain") if number % 2 == 0 else ("plain", "ours")
        rounds.append({name: _grid_seconds(name, models, batches) for name in names})
    return {
        "models": models.split(","), "batches": batches, "rounds": rounds, "first_use": [cold, warm],
        "launchers": _launchers(1 if quick else 2),
    }  # fmt: skip


def _first_use(models: str) -> float:
    """Take the data into use, with one batch of training, and keep what that leaves in the cache."""
    folder = _empty("grid")
    options = [f"data.cache={SCRATCH / 'grid-cache'}", "debug_size=true", _RANDOM, *limits(1, 1, 1)]
    return run(ours(models, folder, *options)).seconds


def _grid_seconds(name: str, models: str, batches: tuple[int, int, int]) -> float:
    """Run one grid from nothing but the cache."""
    folder = _empty("grid")
    shared = limits(*batches)
    if name == "ours":
        command = ours(models, folder, *shared, _RANDOM, f"data.cache={SCRATCH / 'grid-cache'}", "group=grid")
    else:
        command = plain(models, folder, *shared)
    seconds = run(command).seconds
    say(f"{name:26s} {seconds:.1f} s")
    shutil.rmtree(folder)
    return seconds


def _launchers(rounds: int) -> dict[str, list[float]]:
    """Time five small jobs one after another with all cores, and side by side with a thread each."""
    ways: dict[str, tuple[list[str], int]] = {"one after another": ([], CORES)}
    if importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher"):
        ways["joblib, side by side"] = (["hydra/launcher=joblib", f"hydra.launcher.n_jobs={CORES}"], 1)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (launcher, threads) in ways.items():
            folder = _empty("grid")
            more = ["seed=0,1,2,3,4", "logger=csv", *_SMALL_JOBS, *launcher]
            command = ours("resnet34", folder, *more)
            found[name].append(run(command, threads=threads).seconds)
            say(f"{name:26s} {found[name][-1]:.1f} s")
    return found


def _empty(name: str) -> Path:
    """Give a scratch folder with nothing in it."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `grid` and `launchers`."""
    seconds = {name: [one[name] for one in results["rounds"]] for name in ("ours", "plain")}
    ratios = [one["plain"] / one["ours"] for one in results["rounds"]]
    cold, warm = results["first_use"]
    label = f"{len(results['models'])} models, {results['batches'][0]} training batches each"
    measured = [spread(seconds["ours"], 1), spread(seconds["plain"], 1), spread(ratios), GOAL, f"{cold - warm:.1f}"]
    launchers = results["launchers"]
    base = launchers["one after another"]
    beside = [[name, spread(found, 1), f"{median(base) / median(found):.2f}"] for name, found in launchers.items()]
    if len(launchers) == 1:
        beside.append(["joblib, side by side", "not measured: hydra-joblib-launcher is not installed", ""])
    return {
        "grid": table(
            ["wall time, s", "ours", "plain", "plain / ours", "goal, at least", "once, on first use"],
            [[label, *measured]],
        ),
        "launchers": table(["five small jobs", "seconds", "times as fast"], beside),
    }
