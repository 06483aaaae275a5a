"""Plan ensembles: which runs are averaged on which images. What cannot be averaged is refused in one line."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.config.kinds import shown
from bus_lightning.config.run_names import CUT
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.core.randomness import stable_hash
from bus_lightning.runs.ensembles import SEEDS, refuse_differences, refuse_seen, task_of_mean
from bus_lightning.runs.finished import FinishedRun, open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import condition_key, name_condition

log = logging.getLogger(__name__)
_CUT = re.compile(rf"{CUT}$")


@dataclass(frozen=True)
class EnsembleOnSplit:
    """The networks that are averaged on the test images of one split.

    Attributes:
        folder: The folder of the result.
        runs: The runs, which have the same test images. The task of the first is that of the ensemble.
    """

    folder: RunDir
    runs: tuple[FinishedRun, ...]

    @property
    def has_one_split(self) -> bool:
        """Whether all runs have the same training and validation images, too."""
        return len({run.split.hash for run in self.runs}) == 1

    @property
    def parts(self) -> list[str]:
        """The parts that are averaged: validation images only if all runs have the same split and predicted them."""
        is_predicted = all((run.cases["split"] == "val").any() for run in self.runs)
        return ["val", "test"] if self.has_one_split and is_predicted else ["test"]


@dataclass
class EnsemblePlan:
    """An ensemble, perhaps with several folds.

    Attributes:
        folder: Its folder, without the fold.
        model: Name of its model in tables.
        runs: All runs.
        refused: Why it cannot be made, in one line; empty if it can.
        splits: A folder for each set of test images.
    """

    folder: Path
    model: str
    runs: list[FinishedRun] = field(default_factory=list)
    refused: str = ""
    splits: list[EnsembleOnSplit] = field(default_factory=list)


def hash_of_condition(run: FinishedRun) -> str:
    """Hash what a run shares with the other seeds and folds of its condition."""
    return f"{stable_hash(condition_key(run)):016x}"


def plan_ensembles(candidates: Iterable[RunDir], name: str, trusted: Iterable[str] = ()) -> list[EnsemblePlan]:
    """Plan the ensembles of runs.

    Args:
        candidates: Folders; other folders than those of runs, and ensembles, are left out.
        name: `seeds` for one ensemble of each condition, or the name of one of all runs.
        trusted: The user's own packages that the runs' configs may name.

    Returns:
        The plans. A run that is not complete, or is damaged, refuses the ensemble that it belongs to, which would
        otherwise average fewer networks than the user expects.
    """
    runs, unusable = _open_all(candidates, tuple(trusted))
    plans: dict[str, EnsemblePlan] = {}
    if name == SEEDS:
        for run in runs:
            new = EnsemblePlan(_folder(run.folder.path, hash_of_condition(run)), f"ensemble_{run.config.model.name}")
            plans.setdefault(condition_key(run), new).runs.append(run)
        for plan in plans.values():  # an ensemble of an earlier version keeps its folder
            plan.folder = next(filter(Path.is_dir, (_folder(run.folder.path) for run in plan.runs)), plan.folder)
        by_folder = {plan.folder: plan for plan in plans.values()}
        for path, (key, error) in unusable.items():
            folder = _folder(path)
            plan = plans.get(key) or by_folder.get(folder) or plans.setdefault(str(path), EnsemblePlan(folder, ""))
            plan.refused = plan.refused or error
    elif runs or unusable:
        first = next(iter([*(run.folder.path for run in runs), *unusable]))
        error = next((error for _, error in unusable.values()), "")
        plans[name] = EnsemblePlan(first.with_name(f"ensemble_{name}"), f"ensemble_{name}", runs, error)
    for plan in plans.values():
        if not plan.refused:
            try:
                plan.splits = _divide(plan, name)
            except UserError as error:
                plan.refused = f"ensemble={name}: {error}"
    return _refuse_shared_folders(plan for plan in plans.values() if plan.refused or plan.splits)


def _refuse_shared_folders(plans: Iterable[EnsemblePlan]) -> list[EnsemblePlan]:
    """Refuse conditions whose runs have the same names but for the seed: one ensemble would replace the other.

    Returns:
        The plans; of several that would be made in one folder, the first, refused.
    """
    kept: list[EnsemblePlan] = []
    made: dict[Path, EnsemblePlan] = {}
    for plan in plans:
        if plan.refused or (first := made.setdefault(plan.folder, plan)) is plan:
            kept.append(plan)
            continue
        first.refused = (
            f"ensemble={SEEDS}: {first.runs[0].folder.path} and {plan.runs[0].folder.path} differ in more than seed "
            f"and fold, but the ensembles of both would be {plan.folder}: move the runs of one to another group."
        )
    return kept


def _folder(run: Path, condition: str = "") -> Path:
    """Return the folder of the ensemble of a run's seeds, without the fold.

    A name that was cut ends in a hash of all its options, also of the seed. The folder ends in the condition's hash, so
    that a further seed, whose run may be the first, does not leave a second ensemble next to an older one.
    """
    name = name_condition(run)
    if condition and _CUT.search(name):
        name = f"{name.rpartition('__')[0] or _CUT.sub('', name)}-{condition}"
    return run.with_name(f"ensemble_{name}")


def _open_all(
    candidates: Iterable[RunDir], trusted: tuple[str, ...]
) -> tuple[list[FinishedRun], dict[Path, tuple[str, str]]]:
    """Open runs.

    Returns:
        Those that can be averaged; and path -> key of the condition, if it is known, and why it cannot be used.
    """
    runs: list[FinishedRun] = []
    unusable: dict[Path, tuple[str, str]] = {}
    for folder in candidates:
        if not folder.is_run or folder.is_ensemble:
            continue
        key = ""
        try:
            run = open_run(folder.path, complete=False, trusted=trusted)
            key = condition_key(run)
            run.require_complete()
            run.split, run.cases  # noqa: B018 (read here, where a damaged file refuses the ensemble)
            runs.append(run)
        except UserError as error:
            unusable[folder.path] = (key, str(error))
    return runs, unusable


def _divide(plan: EnsemblePlan, name: str) -> list[EnsembleOnSplit]:
    """Divide the runs of a plan by their test images, and check that those of each split can be averaged.

    Returns:
        A folder for each split; none for the seeds of a condition that has only one on each split.

    Raises:
        UserError: If they cannot be averaged.
    """
    refuse_differences(plan.runs, "choose others with runs=...")
    task = task_of_mean(plan.runs)
    plan.runs.sort(key=lambda run: run.task != task)  # the first one says what the mean predicts
    by_images: dict[frozenset[str], list[FinishedRun]] = {}
    for run in plan.runs:
        by_images.setdefault(frozenset(run.split.test), []).append(run)
    if max(map(len, by_images.values())) == 1:
        if name == SEEDS:
            return []
        raise UserError(
            f"{plan.runs[0].folder.path} and the other runs have no test images in common: give runs of one split."
        )
    groups = list(by_images.values())
    _refuse_gaps(groups)
    for runs in groups:
        _refuse_other_cases(runs)
        on_split = EnsembleOnSplit(runs[0].folder, tuple(runs))
        for part, run in product(on_split.parts, runs):
            refuse_seen(run.folder.path, run.split, runs[0].split.part(part), part)
    folders = [Path(f"{plan.folder}{_suffix(runs[0].config)}") for runs in groups]
    if len(set(folders)) < len(folders):  # they differ in something else than the options of the split
        folders = [Path(f"{path}__split-{runs[0].split.hash[:8]}") for path, runs in zip(folders, groups, strict=True)]
    return [EnsembleOnSplit(RunDir(path), tuple(runs)) for path, runs in zip(folders, groups, strict=True)]


def _suffix(config: DictConfig) -> str:
    """Name the fold of a run, as the name of its folder does."""
    values = {"data.split.seed": config.data.split.seed or None}  # the usual one is 0
    values |= {f"data.split.{key}": config.data.split.get(key) for key in ("fold", "cross_fold")}
    return "".join(f"__{key}-{value}" for key, value in values.items() if value is not None)


def _refuse_gaps(groups: Sequence[Sequence[FinishedRun]]) -> None:
    """Refuse an ensemble that would have other networks on one split than on another."""
    present = [Counter((hash_of_condition(run), run.config.get("seed")) for run in runs) for runs in groups]
    wanted = Counter[tuple[str, object]]()
    for each in present:
        wanted |= each
    for runs, each in zip(groups, present, strict=True):
        if missing := wanted - each:
            condition, seed = min(missing, key=str)
            example = next(run for others in groups for run in others if hash_of_condition(run) == condition)
            raise UserError(
                f"no complete run of {name_condition(example.folder.path)} with seed={shown(seed)} has the test images "
                f"of {runs[0].folder.path} ({missing.total()} such runs are missing in all): train it, or leave these "
                "images out with runs=..."
            )


def _refuse_other_cases(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs whose cases are incomplete, of other labels, or the same as those of another run."""
    first = runs[0]
    labels = first.cases.set_index("id")["label"]
    digests: dict[str, Path] = {}
    for run in runs:
        path, cases = run.folder.path, run.cases
        for part in ("val", "test"):
            own = cases.loc[cases["split"] == part, "id"]
            if len(own) and sorted(own) != run.split.part(part):
                raise UserError(
                    f"{path} has predictions for {len(own)} of its {len(run.split.part(part))} {part} images: train it "
                    "without a limit on the number of batches."
                )
        tested = cases[cases["split"] == "test"]
        if wrong := [row.id for row in tested.itertuples() if labels.get(row.id) != row.label]:
            raise UserError(f"{first.folder.path} and {path} have different labels for '{wrong[0]}'.")
        if (digest := checksum(run.folder.cases)) in digests:
            raise UserError(
                f"{digests[digest]} and {path} have the same predictions: one is a copy of the other, and would count "
                "twice."
            )
        digests[digest] = path
