"""Read the evaluations of a run on other images than its own, which `evaluate.py` writes into its folder."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bus_lightning.core.errors import DamagedError, cured_by
from bus_lightning.core.files import is_there
from bus_lightning.data.splits import Split, load_split
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.ensembles import read_ensemble
from bus_lightning.runs.evaluation_folders import list_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.made_with import has_weights
from bus_lightning.runs.sets import Sets, read_sets_of


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of test images.

    Attributes:
        folder: Its files.
        split: Its split.
        sets: Its data sets.
        cases: A row per test image, with the column `group`.
        networks: Number of networks whose probabilities are averaged.
    """

    folder: RunDir
    split: Split
    sets: Sets
    cases: pd.DataFrame
    networks: int = 1


def find_evaluations(run: RunDir) -> list[RunDir]:
    """List the complete evaluations of a run's present weights, the newest first.

    Those of earlier versions, without sets.json, are left out, and those with other options of `predict` than the run.

    Raises:
        DamagedError: If the time of one cannot be read.
    """
    present = [folder for folder in _complete(run) if not _is_outdated(folder, run)]
    return sorted(present, key=_ended, reverse=True)


def find_outdated(run: RunDir) -> list[RunDir]:
    """List the evaluations that `find_evaluations` leaves out because the run was trained further; errors are the same.

    An ensemble has none: its folder names the runs that it averages.
    """
    return [folder for folder in _complete(run) if _is_outdated(folder, run)]


def _complete(run: RunDir) -> list[RunDir]:
    complete = [folder for folder in list_evaluations(run) if folder.is_complete and is_there(folder.sets)]
    return [folder for folder in complete if not folder.status.get("predict")]


def _is_outdated(folder: RunDir, run: RunDir) -> bool:
    ended = _ended(folder)  # not known of evaluations of some earlier versions
    if run.is_ensemble or not ended or ended >= _ended(run):
        return False
    weights = folder.status.get("weights")  # further training may have kept them; earlier versions did not record them
    return weights is None or not has_weights(run, str(weights))


def _ended(folder: RunDir) -> str:
    """Return when a run or an evaluation has ended, in UTC; empty if it is not known."""
    return str(folder.status.get("ended") or "")


@cured_by("Restore it from a copy, or evaluate the run again")
def read_evaluation(folder: RunDir, classes: Sequence[str] | None) -> Evaluation:
    """Read an evaluation.

    Args:
        folder: Its folder, in that of the run.
        classes: The classes of the run; None for a segmenter, which is tested on images of any class.

    Raises:
        DamagedError: If a file of it is damaged.
    """
    split, cases = load_split(folder.split), read_cases(folder.cases, classes=classes)
    cases = cases[cases["split"] == "test"].reset_index(drop=True)
    if unknown := set(cases["id"]) - set(split.test):
        raise DamagedError(folder.cases, f"'{min(unknown)}' is not a test image of its split.json")
    ensemble = read_ensemble(folder)
    networks = len(ensemble.members) if ensemble else 1
    return Evaluation(folder, split, read_sets_of(folder), cases.assign(group=cases["id"].map(split.groups)), networks)


def read_evaluations(run: RunDir, classes: Sequence[str] | None) -> list[Evaluation]:
    """Read all evaluations of a run, the newest first.

    Raises:
        DamagedError: If a file of one is damaged.
    """
    return [read_evaluation(folder, classes) for folder in find_evaluations(run)]
