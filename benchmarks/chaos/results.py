"""The results of a disturbed grid, compared with those of the undisturbed one."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.chaos.grids import Grid
from bus_lightning.runs.folder import RunDir


def lost(grid: Grid) -> list[str]:
    """Name the jobs that are not complete."""
    return [name for name, run in grid.runs.items() if not run.is_complete]


def differences(undisturbed: Grid, disturbed: Grid) -> dict[str, list[str]]:
    """Compare the results of two grids, job by job.

    Returns:
        What differs of each job that differs: names of files, or what else there is.
    """
    steps = [{(event.job, event.epoch, event.batch) for event in _training(grid)} for grid in (undisturbed, disturbed)]
    differing_runs = {}
    for name, run in undisturbed.runs.items():
        differing = _differing(run, disturbed.runs[name])
        # Each batch of each epoch was trained on, though perhaps more than once.
        if any(step[0] == name for step in steps[0] ^ steps[1]):
            differing.append("batches")
        if differing:
            differing_runs[name] = differing
    return differing_runs


def steps(grid: Grid) -> dict[str, Any]:
    """Count training steps.

    Returns:
        `trained` steps, `repeated` ones among them, and `seconds_per_step`.
    """
    training = _training(grid)
    gaps = [
        after.time - before.time
        for before, after in pairwise(training)
        if (before.job, before.epoch, before.batch + 1) == (after.job, after.epoch, after.batch)
    ]
    distinct = len({(event.job, event.epoch, event.batch) for event in training})
    seconds = sum(gaps) / len(gaps) if gaps else 0.0
    return {"trained": len(training), "repeated": len(training) - distinct, "seconds_per_step": seconds}


def stamps(grid: Grid) -> dict[Path, int]:
    """Return when each result was written, to see whether a rerun touches it."""
    files = [file for run in grid.runs.values() for file in (*_files(run), run.best, run.status_file)]
    return {file: file.stat().st_mtime_ns for file in files if file.is_file()}


def _training(grid: Grid) -> list[Any]:
    return [event for event in grid.events() if event.doing == "training"]


def _differing(run_a: RunDir, run_b: RunDir) -> list[str]:
    """Compare two runs: files byte by byte, the kept weights bit by bit, what status.json says of the training.

    The other one, which was interrupted, must have stayed one run for W&B.
    """
    names = sorted({str(file.relative_to(run.path)) for run in (run_a, run_b) for file in _files(run)})
    differing = [name for name in names if not _same_bytes(run_a.path / name, run_b.path / name)]
    if not _same_weights(run_a.best, run_b.best):
        differing.append("best.ckpt")
    differing += [
        f"status.json: {key}" for key in ("state", "score", "epochs") if run_a.status.get(key) != run_b.status.get(key)
    ]
    return differing


def _files(run: RunDir) -> list[Path]:
    return [run.cases, run.metrics_file, run.history, run.split, *run.masks.rglob("*.png")]


def _same_bytes(file_a: Path, file_b: Path) -> bool:
    return file_a.is_file() and file_b.is_file() and file_a.read_bytes() == file_b.read_bytes()


def _same_weights(file_a: Path, file_b: Path) -> bool:
    import torch  # two seconds, and a hundred megabytes that a measured process would begin with

    if not (file_a.is_file() and file_b.is_file()):
        return False
    weights_a, weights_b = (torch.load(file, weights_only=True)["state_dict"] for file in (file_a, file_b))
    return weights_a.keys() == weights_b.keys() and all(
        torch.equal(weights_a[key], weights_b[key]) for key in weights_a
    )
