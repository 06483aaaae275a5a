"""Waiting: for --help and tab completion, for the first training step, for a finished or a further job of a grid."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contestants import CLOCK, data_options, limits
from benchmarks.processes import SCRATCH, run, say
from benchmarks.report import spread, table
from benchmarks.stamps import read_stamps

HELP_GOAL, FINISHED_GOAL, FIRST_STEP_GOAL, FURTHER_GOAL = 0.6, 0.1, 8.0, 1.0
_FOLDER = SCRATCH / "startup"
_TYPED = "python train.py mod"
_TINY = ["data=phantom", "model=resnet34", "debug_size=true", "data.size=64", *limits(1, 1, 1),
         f"runs_dir={_FOLDER}"]  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """Measure everything in alternated rounds."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    jobs, rounds = (6, 3) if quick else (21, 7)
    say(f"training {jobs} tiny runs, to be found finished")
    run(_finished_grid("train.py", jobs))
    commands: dict[str, Callable[[], float]] = {
        "import torch": lambda: run(["python", "-c", "import torch"]).seconds,
        "train.py --help": lambda: run(["python", "train.py", "--help"]).seconds,
        "tab completion": _completion,
        "ours, 1 job": lambda: run(_finished_grid("train.py", 1)).seconds,
        "ours, all jobs": lambda: run(_finished_grid("train.py", jobs)).seconds,
        "empty, 1 job": lambda: run(_finished_grid("benchmarks/probes/empty_app.py", 1)).seconds,
        "empty, all jobs": lambda: run(_finished_grid("benchmarks/probes/empty_app.py", jobs)).seconds,
        "first step": _first_step,
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    further = []
    for number in range(rounds):
        if quick and number:  # the two that train take longest
            commands.pop("first step", None)
        for name, command in commands.items():
            seconds[name].append(command())
            say(f"{name:16s} {seconds[name][-1]:.2f} s")
        if not quick or not number:
            further.append(_further_job())
            say(f"{'further job':16s} {sum(further[-1].values()):.2f} s")
    shutil.rmtree(_FOLDER)
    return {"jobs": jobs, "seconds": seconds, "further": further}


def _finished_grid(script: str, jobs: int) -> list[str]:
    """Give the command of a grid over seeds, which trains the first time and then finds everything finished."""
    numbers = ",".join(map(str, range(jobs)))
    return ["python", script, "-m", f"seed={numbers}", *_TINY, "group=finished", "logger=csv"]


def _completion() -> float:
    """Complete a word, as Hydra's function for bash asks for it."""
    command = ["python", "train.py", "-sc", "query=bash"]
    return run(command, COMP_LINE=_TYPED, COMP_POINT=str(len(_TYPED))).seconds


def _first_step() -> float:
    """Measure from the command to the first training step, everything at its default and the caches warm."""
    clock = _FOLDER / "first.json"
    command = ["python", "train.py", "model=alexnet", *data_options(), *limits(1, 1, 1), f"runs_dir={_FOLDER}",
               "name=first", "rerun=true", CLOCK, f"+callbacks.clock.path={clock}"]  # fmt: skip
    started = run(command).started
    for folder in _FOLDER.glob("*/first.old-*"):  # an AlexNet's checkpoint is large
        shutil.rmtree(folder)
    return float(read_stamps(clock)["first_step"] - started)


def _further_job() -> dict[str, float]:
    """Measure from the last step of a job to the first one of the next job in the same process, in three parts."""
    folder = _FOLDER / "further"
    shutil.rmtree(folder, ignore_errors=True)
    clock = f"+callbacks.clock.path={folder}/${{seed}}.json"
    run(["python", "train.py", "-m", "seed=0,1", *_TINY, "group=further", CLOCK, clock])
    first, second = (read_stamps(folder / f"{seed}.json") for seed in (0, 1))
    runs = sorted((_FOLDER / "further").rglob("status.json"), key=_started)
    written = (runs[0].parent / "metrics.json").stat().st_mtime
    taken_up = (runs[-1].parent / "config.yaml").stat().st_mtime
    moments = [first["last_step_end"], written, taken_up, second["first_step"]]
    names = ("evaluate, write", "end the job, prepare the next", "build, start its loop")
    return {name: after - before for name, before, after in zip(names, moments, moments[1:], strict=False)}


def _started(status: Path) -> tuple[str, str]:
    return json.loads(status.read_text())["started"], status.parent.name


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `startup` and `jobs`."""
    seconds, others = results["seconds"], results["jobs"] - 1
    torch = median(seconds["import torch"])
    commands = [["import torch, in a fresh interpreter", spread(seconds["import torch"]), "1.00", ""]] + [
        [shown, spread(seconds[name]), f"{median(seconds[name]) / torch:.2f}", f"at most {HELP_GOAL}"]
        for name, shown in (("train.py --help", "`train.py --help`"), ("tab completion", "tab completion"))
    ]
    per_job = {
        contestant: [
            (grid - single) / others
            for single, grid in zip(seconds[f"{contestant}, 1 job"], seconds[f"{contestant}, all jobs"], strict=True)
        ]
        for contestant in ("ours", "empty")
    }  # fmt: skip
    more = [ours - empty for ours, empty in zip(per_job["ours"], per_job["empty"], strict=True)]
    whole = [sum(parts.values()) for parts in results["further"]]
    rows = [
        ["a finished job in a grid", spread(per_job["ours"]), ""],
        ["the same, of an empty Hydra application", spread(per_job["empty"]), ""],
        ["more than the empty one", spread(more), f"at most {FINISHED_GOAL}"],
        ["from the command to the first step, AlexNet", spread(seconds["first step"]), f"at most {FIRST_STEP_GOAL}"],
        ["from a tiny job's last step to the next job's first", spread(whole), f"at most {FURTHER_GOAL}"],
    ]
    rows += [[f"... of it: {name}", spread([parts[name] for parts in results["further"]]), ""]
             for name in results["further"][0]]  # fmt: skip
    return {
        "startup": table(["command", "seconds", "times import torch", "goal"], commands),
        "jobs": table(["seconds", "measured", "goal"], rows),
    }
