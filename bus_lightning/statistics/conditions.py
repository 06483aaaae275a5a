"""The conditions of a group of runs: runs that differ only in seed and fold belong to one condition."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.identity import identity
from bus_lightning.config.trusted import Origin
from bus_lightning.core.commands import name_command
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.printable import printable
from bus_lightning.data.splits import Split
from bus_lightning.metrics.columns import cases_of_task
from bus_lightning.runs.ensembles import Ensemble
from bus_lightning.runs.finished import FinishedRun, open_run
from bus_lightning.runs.folder import RunDir, groups_below, groups_near
from bus_lightning.statistics.replicates import number_runs, separate_unfinished

WEIGHTS_MISSING = "weights missing"
_LUCK = ("seed", "data.split.fold", "data.split.seed")  # what may differ among the runs of a condition
_LUCK_IN_NAME = re.compile(rf"__({'|'.join(map(re.escape, _LUCK))})-[^_]*(?=__|$)")
_CROSS_FOLD = "data.split.cross_fold"  # of the training images: its runs together are one condition
_IN_FULL = re.compile(rf"__{re.escape(_CROSS_FOLD)}-null(?=__|$)")
_CROSS_FOLD_IN_NAME = re.compile(rf"(__{re.escape(_CROSS_FOLD)})-\d+(?=__|$)")


@dataclass
class Condition:
    """Runs that differ only in seed and fold.

    Attributes:
        name: Their name without seed and fold, unique in a report.
        model: Name of the model.
        task: classification, segmentation, or joint for networks that do both.
        classes: Names of the classes, in the order of the labels.
        config: That of the first run.
        runs: The runs, sorted by name.
        cases: A row per image and run: `run`, `replicate` (one number for all folds of a seed), `id`, `split` (val or
            test), `group` (of near-duplicates), `label`, then `prob_<class>` or counts of pixels, or both.
        splits: Name of a run -> its split.
        trusted: The user's own packages that the config may name.
        files: Hash of the files of the runs' data; empty if it is not known.
        ensemble: What the first of its folders averages, if it is an ensemble.
        averaged: The folders of all runs that an ensemble averages, each for the images that it has not seen.
        networks: Number of networks whose probabilities are averaged for an image of these cases.
    """

    name: str
    model: str
    task: str
    classes: list[str]
    config: DictConfig
    runs: list[RunDir]
    cases: pd.DataFrame
    splits: dict[str, Split] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    files: str = ""
    ensemble: Ensemble | None = None
    averaged: tuple[Path, ...] = ()
    networks: int = 1

    @property
    def is_ensemble(self) -> bool:
        """Whether its predictions are means over the networks of several runs."""
        return self.ensemble is not None

    @property
    def trainings(self) -> int:
        """Number of trained networks behind its cases."""
        return len(self.averaged) or len(self.runs)

    @property
    def replicates(self) -> dict[str, int]:
        """Name of a run -> number of its replicate."""
        return dict(zip(self.cases["run"], self.cases["replicate"], strict=True))

    @property
    def origin(self) -> Origin:
        """Where the config was read from, which decides what may be built from it."""
        return Origin(self.runs[0].config, self.trusted)

    @property
    def is_cross_fitted(self) -> bool:
        """Whether its runs tested folds of the training images, for predicted masks or for calibration."""
        return self.config.data.split.get("cross_fold") is not None

    @property
    def predicted_classes(self) -> list[str] | None:
        """The classes that its networks predict; None for segmenters, which can be tested on images of any class."""
        return None if self.task == "segmentation" else self.classes

    def part(self, name: str) -> pd.DataFrame:
        """Return the cases of one part, val or test."""
        return self.cases[self.cases["split"] == name]


@dataclass
class Group:
    """The conditions of a folder of runs.

    Attributes:
        path: The folder.
        conditions: Sorted by task and name.
        left_out: Runs that cannot be used: `run`, `model`, `state`, `reason`.
        others: The folders of groups that were united with it.
    """

    path: Path
    conditions: list[Condition]
    left_out: pd.DataFrame
    others: tuple[Path, ...] = ()


def includes_task(task: str, wanted: str) -> bool:
    """Say whether a task, which may be joint, includes classification or segmentation."""
    return task in (wanted, "joint")


def of_task(conditions: Iterable[Condition], task: str) -> list[Condition]:
    """Select the conditions that include a task; a joint one is reduced to the columns of this task."""
    own = (condition for condition in conditions if includes_task(condition.task, task))
    return [replace(condition, task=task, cases=cases_of_task(task, condition.cases)) for condition in own]


def read_group(path: Path, trusted: Iterable[str] = ()) -> Group:
    """Read the finished runs of a group.

    Args:
        path: The folder, `runs/<group>`.
        trusted: The user's own packages that the configs may name.

    Returns:
        The conditions, and what was left out: unfinished, failed and damaged runs, and other folders.

    Raises:
        UserError: If the folder is missing or contains no folder of a run.
    """
    is_run = (path / "config.yaml").is_file()
    if not path.is_dir() or is_run or (groups_below(path) and not any(path.glob("[!.]*/config.yaml"))):
        groups = [path.parent] if is_run else groups_near(path)
        none = f"{path.parent} has none; `{name_command('train')}` makes one"
        cure = f"choose from {', '.join(map(str, groups))}" if groups else none
        raise UserError(f"{path} is not a folder of runs: {cure}.")
    folders = list_folders(path)
    if not folders:
        raise UserError(f"{path} contains no runs: train some with `{name_command('train')} group={path.name}`.")
    read: dict[str, list[FinishedRun]] = {}
    left_out = []
    for folder in folders:
        run = RunDir(folder)
        try:
            if not run.is_run:
                raise UserError("not a run folder: it has no config.yaml")
            if not run.is_complete:  # a run that failed early has no config
                raise UserError(f"is not complete: {run.status.get('state', 'it has no status.json')}")
            opened = open_run(folder, complete=False, trusted=trusted)
            opened.split, opened.cases  # noqa: B018 (read here, where a damaged file leaves the run out)
            if not {"val", "test"} <= opened.metrics.keys():
                raise DamagedError(run.metrics_file, "it lacks val or test")
            read.setdefault(condition_key(opened), []).append(opened)
        except UserError as error:
            left_out.append(_left_out(run, error))
    conditions = []
    for members in read.values():
        used, unfinished = separate_unfinished(members)
        conditions.append(_condition(used))
        left_out += [_left_out(run.folder, UserError(reason)) for run, reason in unfinished]
    make_names_unique(conditions)
    conditions.sort(key=lambda condition: (condition.task, condition.name))
    return Group(path, conditions, pd.DataFrame(left_out, columns=["run", "model", "state", "reason"]))


def list_folders(path: Path) -> list[Path]:
    """List the folders in a group that may be runs, sorted."""
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not _is_passed_over(folder)]


def _is_passed_over(folder: Path) -> bool:
    """Say whether a folder is not a run: it is hidden, an old run that was moved aside, or the report."""
    return folder.name.startswith(".") or RunDir(folder).is_set_aside or folder.name in ("report", "wandb")


def _left_out(run: RunDir, reason: UserError) -> dict[str, str | None]:
    try:
        status = run.status
    except DamagedError:
        status = {}
    state = "damaged" if isinstance(reason, DamagedError) else status.get("state", "no run")
    why, error = str(reason), status.get("error")
    return {
        "run": run.path.name,
        "model": status.get("model") or run.path.name.partition("__")[0],
        "state": WEIGHTS_MISSING if status.get("kind") == "WeightsMissingError" else state,
        "reason": f"{why} ({error})" if error and error not in why else why,
    }


def condition_key(run: FinishedRun) -> str:
    """Return what the runs of a condition share: the data, and all that decides their numbers except seed and fold.

    Ensembles share their name and the conditions and seeds of their members.

    Raises:
        DamagedError: If status.json or ensemble.json is damaged.
    """
    if run.ensemble:
        members = sorted((member.condition, str(member.seed)) for member in run.ensemble.members)
        return repr(["ensemble", run.ensemble.name, members, run.status.get("data")])
    return repr([shared_options(run.config), run.config.trainer.max_epochs, run.status.get("data")])


def shared_options(config: DictConfig) -> list[tuple[str, Any]]:
    """Return the options that all runs of a condition share, sorted: all that decide its numbers but seed and fold."""
    decides = {name: value for name, value in identity(config).items() if name not in _LUCK}
    decides[_CROSS_FOLD] = decides.get(_CROSS_FOLD) is not None
    return sorted(decides.items())


def name_condition(run: Path) -> str:
    """Name the condition of a run: the name of its folder without seed and fold."""
    return printable(_CROSS_FOLD_IN_NAME.sub(r"\1", _IN_FULL.sub("", _LUCK_IN_NAME.sub("", run.name))))


def _condition(members: list[FinishedRun]) -> Condition:
    """Combine runs; those with the same seeds and different test images are the folds of one replicate."""
    numbers, first = number_runs(members), members[0]
    # A copy with a name by hand can be the first: it must not rename the condition.
    named = next((run for run in members if run.folder.path.name == run.config.get("name")), first)
    return Condition(
        name=name_condition(named.folder.path),
        model=first.config.model.name,
        task=first.task,
        classes=first.classes,
        config=first.config,
        runs=[run.folder for run in members],
        splits={run.folder.path.name: run.split for run in members},
        trusted=first.trusted,
        files=first.files_hash,
        ensemble=first.ensemble,
        averaged=tuple(dict.fromkeys(path for run in members for path in _averaged(run))),
        networks=len(first.ensemble.members) if first.ensemble else 1,
        cases=pd.concat(
            [run.cases.assign(run=run.folder.path.name, replicate=number)
             for run, number in zip(members, numbers, strict=True)],
            ignore_index=True,
        ),
    )  # fmt: skip


def _averaged(run: FinishedRun) -> list[Path]:
    """List the folders of the runs that an ensemble averages; none for a run."""
    return [member.folder(run.folder).path for member in run.ensemble.members] if run.ensemble else []


def add_group_to_names(conditions: Iterable[Condition]) -> list[Condition]:
    """Add the name of the group to the names that conditions of several groups share."""
    conditions = list(conditions)
    names = Counter(condition.name for condition in conditions)
    return [
        replace(condition, name=f"{condition.name}__{condition.runs[0].path.parent.name}")
        if names[condition.name] > 1 else condition
        for condition in conditions
    ]  # fmt: skip


def make_names_unique(conditions: list[Condition]) -> None:
    """Number the conditions that have the same name, which happens if runs were named by hand."""
    taken: set[str] = set()
    for condition in conditions:
        numbered = (f"{condition.name}__{number}" for number in count(2))
        condition.name = next(name for name in chain([condition.name], numbered) if name not in taken)
        taken.add(condition.name)
