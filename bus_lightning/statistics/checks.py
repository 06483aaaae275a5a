"""What must hold before a number can be trusted: every report checks its runs for it."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import is_there
from bus_lightning.data.index import read_image
from bus_lightning.metrics.columns import COUNTS
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.baselines import BASELINES, read_baseline
from bus_lightning.runs.ensembles import Member, read_ensemble, why_outdated
from bus_lightning.runs.evaluations import find_evaluations, find_outdated, read_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.images import read_images
from bus_lightning.runs.robustness import read_robustness
from bus_lightning.runs.sets import read_sets_of
from bus_lightning.statistics.conditions import Condition, includes_task
from bus_lightning.statistics.faithfulness import read_maps
from bus_lightning.statistics.membership import (
    find_missing_folds,
    find_mixed_classes,
    find_mixed_code,
    find_mixed_data,
)
from bus_lightning.statistics.problem import Problem

_EVALUATED = ("val", "test")
# Kind of problem -> what holds if there is none.
CHECKS = {
    "baseline": "Every classifier beats the majority class in accuracy, and ln K in log-loss.",
    "label": "No label is drawn into any image.",
    "twins": "No validation or test image has a near-duplicate in training, or an image of its patient.",
    "counts": "Every run has one case for each validation and test image of its saved split.",
    "classes": "Every class has images in each part that was evaluated.",
    "ensembles": "Every ensemble is the mean over its networks as they are now.",
    "folds": "Every seed that is shown has all of its folds.",
    "code": "All runs of a condition were trained with the same code.",
    "data": "Runs with the same options have the same images.",
    "scope": "All classifiers predict the same classes.",
    "files": "Every other file that the report reads is intact.",
}


def find_problems(conditions: list[Condition]) -> list[Problem]:
    """Run every check on every condition."""
    checks = (_check_baseline, _check_label, _check_twins, _check_counts, _check_classes, find_missing_folds,
              find_mixed_code, _check_networks, _check_files)  # fmt: skip
    of_each = [problem for check in checks for condition in conditions for problem in check(condition)]
    return [*find_mixed_data(conditions), *find_mixed_classes(conditions), *of_each]


def passed_checks(problems: list[Problem], conditions: list[Condition]) -> list[str]:
    """List what holds for all conditions, without what could not be checked."""
    failed = {problem.kind for problem in problems}
    if not any(includes_task(condition.task, "classification") for condition in conditions):
        failed |= {"baseline", "scope"}
    if not any(condition.is_ensemble for condition in conditions):
        failed.add("ensembles")
    if all(condition.config.data.split.get("folds") is None for condition in conditions):
        failed.add("folds")
    if all(len(condition.runs) == 1 for condition in conditions):
        failed.add("code")
    return [text for kind, text in CHECKS.items() if kind not in failed]


def _check_baseline(condition: Condition) -> Iterator[Problem]:
    """Compare a classifier with the majority class, and with the probability 1/K for each of K classes."""
    if not includes_task(condition.task, "classification"):
        return
    uniform = math.log(len(condition.classes))
    for part in _EVALUATED:
        cases = condition.part(part)
        if cases.empty:
            continue
        metrics, majority = metrics_of(cases, ("accuracy", "log_loss")), majority_accuracy(cases) or 0.0
        if metrics["accuracy"] <= majority:
            baseline = f"no better than always predicting '{cases['label'].mode()[0]}' ({majority:.3f})"
            text = f"accuracy on {part} images is {metrics['accuracy']:.3f}, {baseline}"
            yield Problem("baseline", condition.name, text)
        if metrics["log_loss"] >= uniform:
            baseline = f"no better than 1/{len(condition.classes)} for every class (ln K = {uniform:.3f})"
            text = f"log-loss on {part} images is {metrics['log_loss']:.3f}, {baseline}"
            yield Problem("baseline", condition.name, text)


def _check_label(condition: Condition) -> Iterator[Problem]:
    """Find labels that are drawn into the input, in training or in the evaluated parts."""
    overlay = condition.config.overlay
    if mistake := condition.config.data.get("mistake"):
        text = f"the training set contains files that are not separate images (data.mistake={mistake})"
        yield Problem("label", condition.name, text)
    if overlay.style == "none" or overlay.source == "predicted":
        return
    scored = " and ".join(part for part in _EVALUATED if part in overlay.parts)
    consequence = f"its {scored} scores measure the drawing" if scored else "its scores are biased"
    text = f"the label is in the input ({overlay.style} on {', '.join(overlay.parts)}): {consequence}"
    if probe := condition.runs[0].status.get("probe_auc"):
        text += f"; 20 statistics of the intensities predict the class with a macro AUC of {probe:.2f}"
    yield Problem("label", condition.name, text)


def _check_twins(condition: Condition) -> Iterator[Problem]:
    """Count the images with a near-duplicate among the training images, in the run with the most."""
    for part in _EVALUATED:
        counts = []
        for split in condition.splits.values():
            trained = {split.groups[id_] for id_ in split.train}
            counts.append((sum(split.groups[id_] in trained for id_ in split.part(part)), len(split.part(part))))
        twins, total = max(counts)
        if twins:
            text = (
                f"{twins} of {total} {part} images have a near-duplicate in training, or an image of their patient; "
                "the scores are too optimistic"
            )
            yield Problem("twins", condition.name, text)


def _check_counts(condition: Condition) -> Iterator[Problem]:
    """Compare the cases of each run with the images of its split."""
    by_run = {str(run): cases for run, cases in condition.cases.groupby("run")}
    for run, split in condition.splits.items():
        cases = by_run.get(run, condition.cases.iloc[:0])
        for part in _EVALUATED:
            evaluated, expected = cases.loc[cases["split"] == part, "id"], split.part(part)
            if sorted(evaluated) != expected:
                text = f"{len(evaluated)} {part} cases, but its split has {len(expected)} {part} images"
                yield Problem("counts", run, text)


def _check_classes(condition: Condition) -> Iterator[Problem]:
    for part in _EVALUATED:
        present = set(condition.part(part)["label"])
        if missing := [name for name in condition.classes if present and name not in present]:
            yield Problem("classes", condition.name, f"no {part} image of class {', '.join(missing)}")


def _check_networks(condition: Condition) -> Iterator[Problem]:
    """Find networks that were trained again after an ensemble averaged their predictions."""
    for run in condition.runs if condition.is_ensemble else ():
        members: dict[str, Member] = {}
        with suppress(DamagedError):  # the check of the files names it
            for folder in (run, *find_evaluations(run)):
                ensemble = read_ensemble(folder)
                members |= {member.run + member.cases: member for member in (ensemble.members if ensemble else ())}
        if reasons := [why for member in members.values() if (why := why_outdated(member, run))]:
            others = f" (and {len(reasons) - 1} more)" if reasons[1:] else ""
            cure = "give the command of the ensemble again to refresh it"
            yield Problem("ensembles", run.path.name, f"{reasons[0]}{others}: {cure}")


def _check_files(condition: Condition) -> Iterator[Problem]:
    """Check the history and the further results of each run, and the first run's heat maps and masks."""
    for run in condition.runs:
        yield from _damage(run, run.read_history)
        if is_there(run.sets):
            yield from _damage(run, read_sets_of, run)
        if is_there(run.images):
            yield from _damage(run, read_images, run.images)
        yield from _damage(run, read_evaluations, run, condition.predicted_classes)
        with suppress(DamagedError):  # the line above names it
            for folder in find_outdated(run):
                text = f"evaluations/{folder.path.name} was made before the run was trained further, so it is left out"
                yield Problem("files", run.path.name, f"{text}: evaluate the run again")
        task, split = str(condition.config.task.name), condition.splits[run.path.name]
        yield from _damage(run, read_robustness, run, task, condition.classes, split)
        for name in BASELINES:
            yield from _damage(run, read_baseline, run, name, condition.classes, split)
    for first in condition.runs[:1]:
        maps = first.path / "explain" / "maps.csv"
        if is_there(maps):
            yield from _damage(first, read_maps, maps, condition.splits[first.path.name].groups)
        if is_there(sheet := maps.with_name("heatmaps.png")):
            yield from _damage(first, _read_picture, sheet)
        yield from _check_masks(condition, first)


def _check_masks(condition: Condition, run: RunDir) -> Iterator[Problem]:
    """Check that the masks of a run's test images are readable and of the right size; name one of the damaged masks."""
    cases = condition.part("test")
    cases = cases[cases["run"] == run.path.name]
    if not set(COUNTS) <= set(cases) or not run.masks.is_dir():
        return
    pixels = dict(zip(cases["id"], cases[list(COUNTS)].sum(axis=1).astype(int), strict=True))
    files = {id_: file for id_ in pixels if is_there(file := run.masks / f"{id_}.png")}
    damaged = [problem for id_, file in files.items() for problem in _damage(run, _read_picture, file, pixels[id_])]
    if damaged:
        others = f" {len(damaged)} masks are damaged." if len(damaged) > 1 else ""
        yield Problem("files", run.path.name, f"{damaged[0].text}{others}")


def _read_picture(path: Path, pixels: int | None = None) -> None:
    try:
        height, width, _ = read_image(path).shape
    except UserError as error:
        raise DamagedError(path, "it cannot be decoded") from error
    if pixels is not None and height * width != pixels:
        raise DamagedError(path, f"it has {height * width} pixels, but its image has {pixels}")


def _damage(run: RunDir, read: Callable[..., object], *arguments: object) -> Iterator[Problem]:
    """Try to read a file of a run."""
    try:
        read(*arguments)
    except DamagedError as error:
        yield Problem("files", run.path.name, str(error))
