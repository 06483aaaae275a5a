"""Replicates: all folds of one seed, or a single run."""

from collections import Counter
from collections.abc import Iterable

from bus_lightning.runs.finished import FinishedRun


def separate_unfinished(runs: list[FinishedRun]) -> tuple[list[FinishedRun], list[tuple[FinishedRun, str]]]:
    """Leave out the runs of a seed that lacks folds if another seed has all: their mean would mix other images in.

    Args:
        runs: Those of a condition.

    Returns:
        The runs that are used, and those that are left out, each with the reason.
    """
    folds = runs[0].config.data.split.get("folds")
    numbers = number_runs(runs)
    counts = Counter(numbers)
    if runs[0].ensemble or folds not in counts.values():
        return runs, []
    used, left_out = [], []
    for run, number in zip(runs, numbers, strict=True):
        if counts[number] == folds:
            used.append(run)
        else:
            reason = f"its seed has {counts[number]} of {folds} folds so far, and another seed has all"
            left_out.append((run, reason))
    return used, left_out


def number_runs(runs: Iterable[FinishedRun]) -> list[int]:
    """Number the replicates of the runs of a condition."""
    seeds = [(run.config.seed, run.config.data.split.seed) for run in runs]
    return number_replicates(seeds, [run.split.test for run in runs])


def number_replicates(seeds: Iterable[object], tested: Iterable[Iterable[str]]) -> list[int]:
    """Number the replicates of runs: those with equal seeds and different test images are the folds of one.

    Args:
        seeds: For each run, what its folds have in common.
        tested: For each run, the ids of its test images.
    """
    replicates: list[tuple[object, set[str]]] = []  # seeds, images that were tested so far
    numbers = []
    for own, ids in zip(seeds, map(set, tested), strict=True):
        fits = (n for n, (other, seen) in enumerate(replicates) if other == own and seen.isdisjoint(ids))
        number = next(fits, len(replicates))
        if number == len(replicates):
            replicates.append((own, set()))
        replicates[number][1].update(ids)
        numbers.append(number)
    return numbers
