"""What a report is about: the runs of a group, those that differ in seed and fold only taken together."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.build import identity, load_config
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.splits import Split, load_split
from bus_lightning.metrics.columns import cases_of_task
from bus_lightning.runs.cases import cases_of
from bus_lightning.runs.folder import RunDir, groups_below, groups_near

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
        cases: A row per image and run: `run`, `replicate` (the runs of one seed, their folds united), `id`, `split`
            (val or test), `group` (of near-duplicates), `label`, then `prob_<class>` or counts of pixels, or both.
        splits: Name of a run -> its split.
    """

    name: str
    model: str
    task: str
    classes: list[str]
    config: DictConfig
    runs: list[RunDir]
    cases: pd.DataFrame
    splits: dict[str, Split] = field(default_factory=dict)

    @property
    def is_cross_fitted(self) -> bool:
        """Whether its runs tested parts of the training images, for masks or to calibrate on."""
        return self.config.data.split.get("cross_fold") is not None

    def part(self, name: str) -> pd.DataFrame:
        """Take the cases of one part, val or test."""
        return self.cases[self.cases["split"] == name]


@dataclass
class Group:
    """The conditions of a folder of runs.

    Attributes:
        path: The folder.
        conditions: Sorted by task and name.
        left_out: Runs that cannot be taken: `run`, `model`, `state`, `reason`.
    """

    path: Path
    conditions: list[Condition]
    left_out: pd.DataFrame


def does(task: str, wanted: str) -> bool:
    """Tell whether a network of a task, which may be joint, does the wanted one: classification or segmentation."""
    return task in (wanted, "joint")


def of_task(conditions: Iterable[Condition], task: str) -> list[Condition]:
    """Take the conditions that do a task; one that is joint as if it did nothing else.

    Args:
        conditions: Any.
        task: classification or segmentation.
    """
    own = (condition for condition in conditions if does(condition.task, task))
    return [replace(condition, task=task, cases=cases_of_task(task, condition.cases)) for condition in own]


class _Read(NamedTuple):
    """What was read of one run."""

    run: RunDir
    config: DictConfig
    split: Split
    cases: pd.DataFrame


def read_group(path: Path) -> Group:
    """Read the finished runs of a group.

    Args:
        path: The folder, `runs/<group>`.

    Returns:
        The conditions, and what was left out: unfinished, failed and damaged runs, and folders that are none.

    Raises:
        UserError: When the folder is missing or holds no run at all.
    """
    is_run = (path / "config.yaml").is_file()
    if not path.is_dir() or is_run or (groups_below(path) and not any(path.glob("[!.]*/config.yaml"))):
        groups = [path.parent] if is_run else groups_near(path)
        none = f"{path.parent} has none; `python train.py` makes one"
        cure = f"choose from {', '.join(map(str, groups))}" if groups else none
        raise UserError(f"{path} is not a folder of runs: {cure}.")
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not _is_passed_over(folder)]
    if not folders:
        raise UserError(f"{path} holds no runs: train some with `python train.py group={path.name}`.")
    read: dict[str, list[_Read]] = {}
    left_out = []
    for folder in folders:
        run = RunDir(folder)
        try:
            if not any(file.exists() for file in (run.config, run.status_file, run.metrics_file, run.cases)):
                raise UserError("not a run folder: it has no config.yaml")
            config = load_config(run.config)
            if not run.is_complete:
                raise UserError(f"is not complete: {run.status.get('state', 'it has no status.json')}")
            split = load_split(run.split)
            found = _Read(run, config, split, cases_of(run, config, split).assign(run=folder.name))
            read.setdefault(_key(config, run), []).append(found)
        except UserError as error:
            left_out.append(_left_out(run, error))
    conditions = [_condition(members) for members in read.values()]
    name_apart(conditions)
    conditions.sort(key=lambda condition: (condition.task, condition.name))
    return Group(path, conditions, pd.DataFrame(left_out, columns=["run", "model", "state", "reason"]))


def _is_passed_over(folder: Path) -> bool:
    """Tell what is no run of this group: hidden folders, old runs that were moved aside, and the report itself."""
    return folder.name.startswith(".") or ".old-" in folder.name or folder.name in ("report", "wandb")


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


def _key(config: DictConfig, run: RunDir) -> str:
    """Name what the runs of a condition share: all that decides their numbers, but seed and fold, and the data.

    Raises:
        DamagedError: When status.json or metrics.json is damaged.
    """
    if not {"val", "test"} <= run.metrics.keys():
        raise DamagedError(run.metrics_file, "it lacks val or test")
    decides = {name: value for name, value in identity(config).items() if name not in _LUCK}
    decides[_CROSS_FOLD] = decides.get(_CROSS_FOLD) is not None
    return repr([sorted(decides.items()), config.trainer.max_epochs, run.status.get("data")])


def _condition(members: list[_Read]) -> Condition:
    """Unite runs; those with the same seeds that test different images are the folds of one replicate."""
    tables: list[pd.DataFrame] = []
    replicates: list[tuple[object, set[str]]] = []  # seeds, images that were tested so far
    for one in members:
        seeds, tested = (one.config.seed, one.config.data.split.seed), set(one.split.test)
        fits = (n for n, (own, seen) in enumerate(replicates) if own == seeds and seen.isdisjoint(tested))
        number = next(fits, len(replicates))
        if number == len(replicates):
            replicates.append((seeds, set()))
        replicates[number][1].update(tested)
        tables.append(one.cases.assign(replicate=number))
    first = members[0]
    return Condition(
        name=_CROSS_FOLD_IN_NAME.sub(r"\1", _IN_FULL.sub("", _LUCK_IN_NAME.sub("", first.run.path.name))),
        model=first.config.model.name,
        task=first.config.task.name,
        classes=list(first.config.data.classes),
        config=first.config,
        runs=[one.run for one in members],
        splits={one.run.path.name: one.split for one in members},
        cases=pd.concat(tables, ignore_index=True),
    )


def name_apart(conditions: list[Condition]) -> None:
    """Number the conditions whose names are the same: those who named their runs by hand."""
    seen: dict[str, int] = {}
    for condition in conditions:
        seen[condition.name] = seen.get(condition.name, 0) + 1
        if (number := seen[condition.name]) > 1:
            condition.name += f"__{number}"
