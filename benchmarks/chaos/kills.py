"""Kills: when to deal one, with which signal, and what it met."""

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.chaos.grids import Grid
from benchmarks.processes import kill

SIGNALS = {signal.SIGKILL: 84, signal.SIGTERM: 10, signal.SIGINT: 6}  # in a hundred
# How often each is aimed at, and within how many of its writings one is chosen.
TARGETS = {"last.ckpt": (5, 4), "best.ckpt": (4, 2), "cases.csv": (2, 1), "metrics.json": (2, 1), "history.csv": (2, 4),
           "status.json": (3, 5)}  # fmt: skip
_COLD = 3  # the first kills of a grid, when its images and its cache are still to be made
_IN_A_JOB = ("building a job", "training", "validating", "evaluating")
_PATIENCE_S = 180.0  # for a process that was asked to stop; jobs side by side save their running steps


@dataclass(frozen=True)
class Pace:
    """How long an undisturbed grid took.

    Attributes:
        start_up: Seconds from the command to the first step, with images to draw and a cache to make.
        job: Seconds of a job, on average.
    """

    start_up: float
    job: float


@dataclass(frozen=True)
class Plan:
    """When to kill.

    Attributes:
        sent: The signal.
        after: Seconds to wait.
        training: Whether the time counts from the first step, and not from the command.
        target: Kill at once when this file is half-written; `after` is then the latest moment.
        writing: Which of the writings of this file it is, counted from 1.
    """

    sent: signal.Signals
    after: float
    training: bool = False
    target: str | None = None
    writing: int = 1


@dataclass(frozen=True)
class Kill:
    """A kill that was dealt.

    Attributes:
        sent: Name of the signal.
        target: The file that it was aimed at.
        after: Seconds since the command.
        doing: What the grid was doing.
        code: The exit code, negative for a signal.
        marked: Whether a job that was asked to stop says so; None for SIGKILL, and where no job had begun.
    """

    sent: str
    target: str | None
    after: float
    doing: str
    code: int
    marked: bool | None


def draw(rng: Random, pace: Pace, number: int) -> Plan:
    """Draw the next kill of a grid.

    Args:
        rng: Where chance comes from.
        pace: Of the undisturbed grid.
        number: How many kills the grid has had.
    """
    sent = rng.choices(list(SIGNALS), list(SIGNALS.values()))[0]
    if number < _COLD:
        return Plan(sent, rng.uniform(0.3, pace.start_up))
    if sent == signal.SIGKILL and rng.random() < 0.5:
        target = rng.choices(list(TARGETS), [weight for weight, _ in TARGETS.values()])[0]
        return Plan(sent, 2 * pace.job, True, target, rng.randint(1, TARGETS[target][1]))
    if rng.random() < 0.2:
        return Plan(sent, rng.uniform(0.3, pace.start_up))
    return Plan(sent, rng.uniform(0.0, pace.job), True)


def deal(process: "subprocess.Popen[Any]", plan: Plan, grid: Grid, started: float) -> Kill | None:
    """Wait for the planned moment and kill the process group.

    Args:
        process: The head of the group.
        plan: When, and with which signal.
        grid: What it runs.
        started: When it was started, in seconds since the epoch.

    Returns:
        The kill; None when the process ended before.
    """
    if not _awaited(process, plan, grid, started):
        return None
    after = time.time() - started
    if plan.sent == signal.SIGKILL:
        kill(process)
        process.wait()
        return Kill(plan.sent.name, plan.target, after, grid.doing(started), process.returncode, None)
    doing = grid.doing(started)  # before: it may finish what it is doing
    kill(process, plan.sent)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(process)
        process.wait()
    in_a_job = doing in _IN_A_JOB or doing.removeprefix("writing ") in TARGETS
    marked = "interrupted" in grid.outcome().values() if in_a_job else None
    return Kill(plan.sent.name, None, after, doing, process.returncode, marked)


def _awaited(process: "subprocess.Popen[Any]", plan: Plan, grid: Grid, started: float) -> bool:
    """Wait for the planned moment; false when the process ends before."""
    folders = [run.checkpoints if str(plan.target).endswith(".ckpt") else run.path
               for run in grid.runs.values() if not run.is_complete]  # fmt: skip
    before = {name for folder in folders for name in _half_written(folder, plan.target)}
    begin = None if plan.training else started
    was_seen, writings = False, 0
    while process.poll() is None:
        if begin is None and grid.witness.exists() and grid.witness.stat().st_mtime >= started:
            begin = time.time()
        if begin is not None and time.time() - begin >= plan.after:
            return True
        if plan.target:
            is_seen = any(_half_written(folder, plan.target) - before for folder in folders)
            writings += is_seen and not was_seen
            was_seen = is_seen
            if writings == plan.writing:
                return True
        # A small file is half-written for half a millisecond only.
        time.sleep(0.00005 if plan.target else 0.01)
    return False


def _half_written(folder: Path, target: str | None) -> set[str]:
    """Find what is being written in a folder to become `target`."""
    try:
        return {path.name for path in folder.iterdir() if path.name.startswith(f".{target}.")}
    except OSError:
        return set()
