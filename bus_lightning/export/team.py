"""The runs of a bundle: one network, a segmenter and a classifier, or ensembles; other combinations are refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.export.runs import open_for_bundle
from bus_lightning.runs.ensembles import refuse_differences, refuse_seen
from bus_lightning.runs.finished import FinishedRun

_ROLES = {"segmentation": "segmenter", "classification": "classifier", "joint": "joint"}  # task -> name in the bundle


@dataclass(frozen=True)
class Team:
    """The runs of a bundle, in the order of its networks.

    Attributes:
        runs: Name of a network -> its run.
    """

    runs: dict[str, FinishedRun]

    @property
    def outliners(self) -> list[FinishedRun]:
        """The runs whose networks outline the lesion."""
        return [run for run in self.runs.values() if run.task != "classification"]

    @property
    def classifiers(self) -> list[FinishedRun]:
        """The runs whose networks predict the class."""
        return [run for run in self.runs.values() if run.task != "segmentation"]

    @property
    def leaders(self) -> list[FinishedRun]:
        """The runs whose split decides which images the bundle has seen: those that classify, if there are any."""
        return self.classifiers or self.outliners

    @property
    def has_held_out_images(self) -> bool:
        """Whether no network has seen the test images; false for folds, each of which has seen the others'."""
        return len(by_test_images(self.leaders)) == 1

    @property
    def roles(self) -> dict[str, list[str]]:
        """Role (segmenter, classifier or joint) -> names of the networks."""
        roles: dict[str, list[str]] = {}
        for name, run in self.runs.items():
            roles.setdefault(_ROLES[run.task], []).append(name)
        return roles


def compose(paths: Sequence[Path], trusted: Iterable[str] = ()) -> Team:
    """Open runs, and say what each does in a bundle.

    Args:
        paths: Folders of runs: one, a segmenter and a classifier, or several whose probabilities are averaged.
        trusted: The user's own packages that their networks may come from.

    Raises:
        UserError: If a run cannot be exported, or the runs do not belong together.
    """
    trusted = tuple(trusted)
    runs = [open_for_bundle(path, trusted) for path in paths]
    _refuse_twice(runs)
    by_task = {task: [run for run in runs if run.task == task] for task in _ROLES}
    segmenters, classifiers, joint = by_task.values()
    if joint and (others := segmenters + classifiers):
        raise UserError(
            f"{joint[0].folder.path} outlines and classifies by itself, and {others[0].folder.path} is a "
            f"{others[0].task} run: give joint runs alone, or a segmenter and a classifier."
        )
    for run in runs:
        _refuse_what_users_lack(run, segmenters)
    for members in by_task.values():
        _refuse_other_members(members)
    for segmenter in segmenters:
        for classifier in classifiers:
            _refuse_strangers(segmenter, classifier)
    named = {}
    for task, members in by_task.items():
        for number, run in enumerate(members, start=1):
            named[_ROLES[task] if len(members) == 1 else f"{_ROLES[task]}-{number}"] = run
    return Team(named)


def by_test_images(runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Group runs by their test images."""
    teams: dict[frozenset[str], list[FinishedRun]] = {}
    for run in runs:
        teams.setdefault(frozenset(run.split.test), []).append(run)
    return list(teams.values())


def _refuse_twice(runs: Sequence[FinishedRun]) -> None:
    """Refuse a run that is given twice, or a copy of one."""
    paths: set[Path] = set()
    digests: dict[str, Path] = {}
    for run in runs:
        path = run.folder.path
        if path.resolve() in paths:
            raise UserError(f"--run {path} is given twice: give every run once.")
        paths.add(path.resolve())
        if (digest := checksum(run.folder.best)) in digests:
            raise UserError(
                f"{digests[digest]} and {path} have the same weights: one is a copy of the other, and would count "
                "twice."
            )
        digests[digest] = path


def _refuse_what_users_lack(run: FinishedRun, segmenters: Sequence[FinishedRun]) -> None:
    """Refuse a run whose test images held something that a new image does not have."""
    path, overlay = run.folder.path, run.overlay
    if overlay is None:
        return
    if overlay.source != "predicted":
        truth = "classes" if overlay.style == "class_mark" else "masks"
        raise UserError(
            f"{path} was given the ground-truth {truth} (overlay={overlay.style}), which a new image does not have: "
            f"train it with overlay={'predicted' if run.task == 'classification' else 'none'}."
        )
    if run.task == "classification" and not segmenters:
        raise UserError(
            f"{path} needs the masks of a segmenter (overlay={overlay.style}): give the run that its "
            "overlay.segmenters names, too."
        )


def _refuse_other_members(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs of one task that are no ensemble."""
    if len(runs) < 2:
        return
    refuse_differences(runs, "give one of them, or runs that differ in seed, fold or network only.")
    teams = by_test_images(runs)
    for number, team in enumerate(teams):
        for other in teams[:number]:
            if common := set(team[0].split.test) & set(other[0].split.test):
                raise UserError(
                    f"{other[0].folder.path} and {team[0].folder.path} have some test images in common, such as "
                    f"'{min(common)}', but not all: give runs of one split, or folds."
                )
        for run in team if len(team) > 1 else ():
            refuse_seen(run.folder.path, run.split, team[0].split.test, "test")


def _refuse_strangers(segmenter: FinishedRun, classifier: FinishedRun) -> None:
    """Refuse a pair of different data, or whose segmenter was trained on images that the classifier is tested on."""
    path = classifier.folder.path
    if segmenter.files_hash != classifier.files_hash:
        raise UserError(f"{segmenter.folder.path} and {path} were trained on different data: give runs of one folder.")
    groups = classifier.split.groups
    seen_groups = {segmenter.split.groups[id_] for id_ in segmenter.split.train}
    seen_ids = set(segmenter.split.train)
    if leaked := [id_ for id_ in classifier.split.test if id_ in seen_ids or groups[id_] in seen_groups]:
        raise UserError(
            f"{segmenter.folder.path} was trained on {len(leaked)} images that {path} is tested on, or on their "
            f"near-duplicates, for example '{leaked[0]}': give both the same data.split."
        )
