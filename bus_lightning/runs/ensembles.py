"""Ensembles: folders like those of runs, whose predictions are the mean over the networks of several runs.

`ensemble.json` names these runs, the members. The predictions are kept, the networks stay in the folders of the runs.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from bus_lightning.config.kinds import shown
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum, is_there, write_aside
from bus_lightning.core.printable import printable
from bus_lightning.data.splits import Split
from bus_lightning.runs.code import codes_of, present_code
from bus_lightning.runs.contents import read_ensemble_file
from bus_lightning.runs.folder import RunDir

if TYPE_CHECKING:
    from bus_lightning.runs.finished import FinishedRun

SEEDS = "seeds"  # name of the ensembles of each condition over its seeds
# What the report reads from the config of an ensemble, so that all its networks must agree: whether the input holds a
# label or a copy of a test image, and how the images were divided.
_SHARED = ("data.mistake", "data.split.method", "overlay.style", "overlay.source", "overlay.parts", "preprocess.parts")
_SHARED_BY_MASKS = (*_SHARED, "predict.no_lesion")
_MAY_DIVIDE = ("random", "stratified", "published")  # methods that may divide near-duplicates and patients


@dataclass(frozen=True)
class Member:
    """A run whose predictions are averaged.

    Attributes:
        run: Its folder, relative to that of the ensemble.
        model: Name of its model.
        condition: Hash of what it shares with the other seeds and folds of its condition.
        seed: Its seed.
        cases: SHA-256 of its cases.csv, which changes when it is trained again.
        split: Hash of its split.
        commit: Commit that it was trained with.
    """

    run: str
    model: str
    condition: str
    seed: int | None
    cases: str
    split: str
    commit: str | None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return printable(Path(self.run).name)

    def folder(self, ensemble: RunDir) -> RunDir:
        """Return its folder, seen from the folder of the ensemble."""
        return RunDir(Path(os.path.normpath(ensemble.path / self.run)))


@dataclass(frozen=True)
class Ensemble:
    """What was averaged; the content of `ensemble.json`.

    Attributes:
        name: `seeds`, or the name that the user gave; the option `ensemble` of the command.
        runs: The option `runs` of the command.
        members: The runs.
    """

    name: str
    runs: tuple[str, ...]
    members: tuple[Member, ...]

    def save(self, folder: RunDir) -> None:
        """Write `ensemble.json`."""
        write_aside(folder.ensemble, json.dumps(asdict(self), indent=1) + "\n")


def read_ensemble(folder: RunDir) -> Ensemble | None:
    """Read `ensemble.json` of an ensemble, or of its evaluation; None for a run.

    Raises:
        DamagedError: If it is damaged.
    """
    if not is_there(folder.ensemble):
        return None
    content = read_ensemble_file(folder.ensemble)
    members = tuple(Member(**{key: entry[key] for key in Member.__annotations__}) for entry in content["members"])
    return Ensemble(content["name"], tuple(content["runs"]), members)


def describe_member(run: "FinishedRun", condition: str, ensemble: Path) -> Member:
    """Describe a finished run as a member of an ensemble.

    Args:
        run: The run.
        condition: Hash of its condition.
        ensemble: The folder of the ensemble.
    """
    path = os.path.relpath(run.folder.path.resolve(), ensemble.resolve())
    seed: Any = run.config.get("seed")
    return Member(path, str(run.config.model.name), condition, seed, checksum(run.folder.cases), run.split.hash,
                  run.status.get("commit"))  # fmt: skip


def why_outdated(member: Member, ensemble: RunDir) -> str:
    """Say why the predictions of an ensemble are no longer those of a member; empty if they still are."""
    folder = member.folder(ensemble)
    if not is_there(folder.path):
        return f"{member.name} is not at {printable(folder.path)} any more, so it cannot be checked"
    if not folder.is_complete:
        return f"{member.name} is being trained again, or its training has not finished"
    try:
        is_same = checksum(folder.cases) == member.cases
    except (UserError, OSError):
        return f"{member.name} has no cases.csv that can be read"
    return "" if is_same else f"{member.name} was trained again"


def least_score_of(runs: Sequence["FinishedRun"]) -> float:
    """Return the threshold of the mean's no-lesion rule: the mean of those of the runs, 0 for a run without a rule.

    Args:
        runs: Those whose networks outline the lesion; 0 if there are none.
    """
    scores = [0.0 if run.config.predict.no_lesion is False else run.least_score for run in runs]
    return fmean(scores) if scores else 0.0


def rule_of_mean(runs: Sequence["FinishedRun"]) -> dict[str, float] | None:
    """Return `lesion_rule` of the status.json of an ensemble; None if it has no masks or no rule."""
    if task_of_mean(runs) == "classification" or runs[0].config.predict.no_lesion is False:
        return None
    return {"least_score": least_score_of(runs)}


def record_average(folder: RunDir, runs: Sequence["FinishedRun"], **values: Any) -> None:
    """Write status.json of an ensemble, or of its evaluation: the code that made it, and the code of its runs.

    Args:
        folder: The folder.
        runs: The runs.
        values: Further keys of status.json.
    """
    states = [run.status for run in runs]
    codes = [code for state in states for code in codes_of(state)]
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    content: dict[str, Any] = {"command": " ".join(sys.argv), "ended": ended, **present_code()}
    content["trained"] = [code for number, code in enumerate(codes) if code not in codes[:number]]
    for key in ("device", "precision"):
        content[key] = " / ".join(dict.fromkeys(str(state[key]) for state in states if state.get(key))) or None
    for key in ("parameters", "latency_ms"):  # each network sees each image
        numbers = [state.get(key) for state in states]
        content[key] = None if None in numbers else sum(numbers)
    content["lesion_rule"] = rule_of_mean(runs)
    write_aside(folder.status_file, json.dumps(content | values, indent=1, allow_nan=False) + "\n")


def task_of_mean(runs: Sequence["FinishedRun"]) -> str | None:
    """Return what the mean of several runs predicts: of joint networks and classifiers the class; None if nothing."""
    tasks = {run.task for run in runs}
    if tasks == {"classification", "joint"}:
        return "classification"
    return tasks.pop() if len(tasks) == 1 else None


def refuse_differences(runs: Sequence["FinishedRun"], cure: str) -> None:
    """Refuse to average runs of different tasks, classes or files, or whose inputs differ in what a reader must know.

    Args:
        runs: The runs.
        cure: What to do instead, the end of the message.

    Raises:
        UserError: If they differ.
    """
    first, *others = runs
    task = task_of_mean(runs)
    shared = _SHARED if task == "classification" else _SHARED_BY_MASKS
    for run in others:
        values = {
            **({} if task else {"task": (first.task, run.task)}),
            "the classes": (sorted(first.classes), sorted(run.classes)),
            "the data files (their hash)": (first.files_hash, run.files_hash),
            **{key: (OmegaConf.select(first.config, key), OmegaConf.select(run.config, key)) for key in shared},
        }
        for name, (own, other) in values.items():
            if own != other:
                raise UserError(
                    f"{first.folder.path} and {run.folder.path} differ in {name} ({_text(own)} and {_text(other)}), so "
                    f"their predictions cannot be averaged: {cure}"
                )


def _text(value: object) -> str:
    return shown(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def refuse_seen(path: Path, split: Split, ids: Sequence[str], part: str) -> None:
    """Refuse to average the predictions of a network for images that it was trained on, or selected on.

    Args:
        path: Folder of the run, for the message.
        split: Its split file, as `load_split` has checked it.
        ids: The images.
        part: `test`, whose images the network must not have seen at all, or `val`, whose images may have chosen its
            epoch, but not trained it.

    Raises:
        UserError: If it has seen one of them, or a near-duplicate or an image of the same patient although its split
            keeps these together.
    """
    known = [*split.train, *(split.val if part == "test" else ())]
    seen, groups = set(known), {split.groups[id_] for id_ in known}
    is_whole = split.method not in _MAY_DIVIDE
    for id_ in ids:
        if id_ in seen or id_ not in split.groups or (is_whole and split.groups[id_] in groups):
            relation = "does not know" if id_ not in split.groups else "was trained or selected on"
            raise UserError(f"{path} {relation} '{id_}', so its prediction cannot be averaged: give runs of one split.")
