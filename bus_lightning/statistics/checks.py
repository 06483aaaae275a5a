"""What must hold before a number is believed: checks of a report's runs, done each time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.index import read_image
from bus_lightning.metrics.columns import COUNTS
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import Condition, does
from bus_lightning.statistics.faithfulness import read_maps

_EVALUATED = ("val", "test")
# What is looked for -> what to say when it was found nowhere.
PROMISES = {
    "beats nothing": "Every classifier beats always answering the most frequent class, and ln K.",
    "label": "No label is drawn into any image.",
    "twins": "No validation or test image has a near-duplicate in training.",
    "counts": "Every run has one case for each validation and test image of its saved split.",
    "classes": "Every class has images in each part that was evaluated.",
    "files": "Every other file that the report reads is undamaged.",
}


@dataclass(frozen=True)
class Finding:
    """Something that does not hold.

    Attributes:
        kind: A key of `PROMISES`.
        about: The condition or run.
        text: What was found.
    """

    kind: str
    about: str
    text: str


def findings(conditions: list[Condition]) -> list[Finding]:
    """Look for everything that must not be, in every condition."""
    checks = (_beats_nothing, _label_in_input, _twins, _counts, _classes, _files)
    return [found for check in checks for condition in conditions for found in check(condition)]


def kept_promises(found: list[Finding], conditions: list[Condition]) -> list[str]:
    """Say what holds for all conditions, of what could be looked at."""
    broken = {finding.kind for finding in found}
    if not any(does(condition.task, "classification") for condition in conditions):
        broken.add("beats nothing")
    return [text for kind, text in PROMISES.items() if kind not in broken]


def _beats_nothing(condition: Condition) -> Iterator[Finding]:
    """Compare a classifier with always answering the most frequent class, and with saying 1/K for each of K classes."""
    if not does(condition.task, "classification"):
        return
    guess = math.log(len(condition.classes))
    for part in _EVALUATED:
        cases = condition.part(part)
        if cases.empty:
            continue
        scores, majority = metrics_of(cases), majority_accuracy(cases) or 0.0
        if scores["accuracy"] <= majority:
            always = f"no better than always answering '{cases['label'].mode()[0]}' ({majority:.3f})"
            text = f"accuracy on {part} images is {scores['accuracy']:.3f}, {always}"
            yield Finding("beats nothing", condition.name, text)
        if scores["log_loss"] >= guess:
            even = f"no better than saying 1/{len(condition.classes)} for every class (ln K = {guess:.3f})"
            text = f"log-loss on {part} images is {scores['log_loss']:.3f}, {even}"
            yield Finding("beats nothing", condition.name, text)


def _label_in_input(condition: Condition) -> Iterator[Finding]:
    """Say whose scores measure a drawing of the label, or suffer from one in training."""
    overlay = condition.config.overlay
    if mistake := condition.config.data.get("mistake"):
        yield Finding("label", condition.name, f"trained on what is no image of its own (data.mistake={mistake})")
    if overlay.style == "none" or overlay.source == "predicted":
        return
    scored = " and ".join(part for part in _EVALUATED if part in overlay.parts)
    consequence = f"its {scored} scores measure the drawing" if scored else "its scores suffer from that"
    probe = condition.runs[0].status.get("probe_auc")
    seen = f"; 20 statistics of the intensities tell the class with a macro AUC of {probe:.2f}" if probe else ""
    text = f"the label is in the input ({overlay.style} on {', '.join(overlay.parts)}): {consequence}{seen}"
    yield Finding("label", condition.name, text)


def _twins(condition: Condition) -> Iterator[Finding]:
    """Count images with a near-duplicate among those that were trained on, in the run with the most."""
    for part in _EVALUATED:
        counts = []
        for split in condition.splits.values():
            trained = {split.groups[id_] for id_ in split.train}
            counts.append((sum(split.groups[id_] in trained for id_ in split.part(part)), len(split.part(part))))
        twins, of = max(counts)
        if twins:
            text = f"{twins} of {of} {part} images have a near-duplicate in training; scores flatter"
            yield Finding("twins", condition.name, text)


def _counts(condition: Condition) -> Iterator[Finding]:
    """Compare the cases of each run with its split: only then is an accuracy k/n of that split."""
    for run, split in condition.splits.items():
        cases = condition.cases[condition.cases["run"] == run]
        for part in _EVALUATED:
            own, wanted = cases.loc[cases["split"] == part, "id"], split.part(part)
            if sorted(own) != wanted:
                text = (
                    f"{len(own)} {part} cases for the {len(wanted)} images of its split: accuracies are not k/n of it"
                )
                yield Finding("counts", run, text)


def _classes(condition: Condition) -> Iterator[Finding]:
    for part in _EVALUATED:
        present = set(condition.part(part)["label"])
        if missing := [name for name in condition.classes if present and name not in present]:
            yield Finding("classes", condition.name, f"no {part} image of class {', '.join(missing)}")


def _files(condition: Condition) -> Iterator[Finding]:
    """Check the files of curves, and the first run's files of figures; a damaged file is not drawn."""
    for run in condition.runs:
        if found := _damage(run.read_history):
            yield Finding("files", run.path.name, found)
    for first in condition.runs[:1]:
        if (maps := first.path / "explain" / "maps.csv").is_file():
            groups = condition.splits[first.path.name].groups
            if found := _damage(read_maps, maps, groups):
                yield Finding("files", first.path.name, found)
        sheet = maps.with_name("heatmaps.png")
        if sheet.is_file() and (found := _damage(_read_picture, sheet)):
            yield Finding("files", first.path.name, found)
        yield from _masks(condition, first)


def _masks(condition: Condition, run: RunDir) -> Iterator[Finding]:
    """Check that the masks of a run's test images are readable and of the right size; report only one damaged mask."""
    cases = condition.part("test")
    cases = cases[cases["run"] == run.path.name]
    if not set(COUNTS) <= set(cases) or not run.masks.is_dir():
        return
    pixels = dict(zip(cases["id"], cases[list(COUNTS)].sum(axis=1).astype(int), strict=True))
    files = {id_: file for id_ in pixels if (file := run.masks / f"{id_}.png").is_file()}
    damaged = [found for id_, file in files.items() if (found := _damage(_read_picture, file, pixels[id_]))]
    if damaged:
        others = f" {len(damaged)} masks are damaged." if len(damaged) > 1 else ""
        yield Finding("files", run.path.name, f"{damaged[0]}{others}")


def _read_picture(path: Path, pixels: int | None = None) -> None:
    try:
        height, width, _ = read_image(path).shape
    except UserError as error:
        raise DamagedError(path, "it cannot be decoded") from error
    if pixels is not None and height * width != pixels:
        raise DamagedError(path, f"it has {height * width} pixels, but its image has {pixels}")


def _damage(read: Callable[..., object], *arguments: object) -> str:
    """Try to read a file, and return how it is damaged; empty if it is not."""
    try:
        read(*arguments)
    except DamagedError as error:
        return str(error)
    return ""
