"""What must hold before a number is believed: checks of a report's runs, done each time."""

import math
from dataclasses import dataclass

from bus_lightning.data.splits import load_split
from bus_lightning.evaluation.conditions import Condition
from bus_lightning.evaluation.metrics import metrics_of
from bus_lightning.evaluation.table import majority_accuracy


@dataclass(frozen=True)
class Check:
    """The outcome of a check.

    Attributes:
        passed: Whether all is well.
        text: What was found, as a sentence.
    """

    passed: bool
    text: str


def check_conditions(conditions: list[Condition]) -> list[Check]:
    """Do every check on every condition: those that failed come first, those that passed are told together."""
    checks = [check for condition in conditions for check in _check(condition)]
    failed = [check for check in checks if not check.passed]
    return failed + _passed(conditions, failed)


def beats_nothing(condition: Condition, part: str) -> list[Check]:
    """Compare a classifier with always answering the most frequent class, and with saying 1/K for each of K classes."""
    cases = condition.part(part)
    if condition.task != "classification" or cases.empty:
        return []
    found = metrics_of(cases)
    majority = majority_accuracy(cases) or 0.0
    guess = math.log(len(condition.classes))
    checks = []
    if found["accuracy"] <= majority:
        checks.append(
            Check(
                False,
                f"{condition.name}: accuracy on {part} images is {found['accuracy']:.3f}, no better than always "
                f"answering '{cases['label'].mode()[0]}' ({majority:.3f}).",
            )
        )
    if found["log_loss"] >= guess:
        checks.append(
            Check(
                False,
                f"{condition.name}: log-loss on {part} images is {found['log_loss']:.3f}, no better than saying one in "
                f"{len(condition.classes)} for every class (ln {len(condition.classes)} = {guess:.3f}).",
            )
        )
    return checks


def label_in_input(condition: Condition) -> Check | None:
    """Say where the label is drawn into images whose scores are shown, or only into those that were trained on."""
    overlay = condition.config.overlay
    if overlay.style == "none":
        return None
    parts = ", ".join(overlay.parts)
    scored = [part for part in ("val", "test") if part in overlay.parts]
    consequence = f"its {' and '.join(scored)} scores measure the drawing" if scored else "its scores suffer from that"
    probe = condition.runs[0].status.get("probe_auc")
    seen = f" (20 statistics of the intensities tell the class with a macro AUC of {probe:.2f})" if probe else ""
    return Check(
        False, f"{condition.name}: the label is in the input ({overlay.style} on {parts}){seen}: {consequence}."
    )


def _check(condition: Condition) -> list[Check]:
    checks = [check for part in ("val", "test") for check in beats_nothing(condition, part)]
    if drawn := label_in_input(condition):
        checks.append(drawn)
    for run in condition.runs:
        split = load_split(run.split)
        cases = condition.cases[condition.cases["run"] == run.path.name]
        for part in ("val", "test"):
            own = cases[cases["split"] == part]
            if len(own) != len(split.part(part)) or own["id"].duplicated().any():
                checks.append(
                    Check(
                        False,
                        f"{run.path.name}: {len(own)} {part} cases for the {len(split.part(part))} images of its "
                        "split: accuracies are not k/n of that split.",
                    )
                )
    for part in ("val", "test"):
        if twins := _twins(condition, part):
            checks.append(
                Check(
                    False, f"{condition.name}: {twins} {part} images have a near-duplicate in training; scores flatter."
                )
            )
    for part in ("val", "test"):
        own = condition.part(part)
        missing = [name for name in condition.classes if name not in set(own["label"])]
        if len(own) and missing:
            checks.append(Check(False, f"{condition.name}: no {part} image of class {', '.join(missing)}."))
    return checks


def _twins(condition: Condition, part: str) -> str:
    """Count images with a twin among those that were trained on, as `58 of 156`, of the run with the most."""
    most, of = 0, 0
    for run in condition.runs:
        split = load_split(run.split)
        trained = {split.groups[id_] for id_ in split.train}
        twins = sum(split.groups[id_] in trained for id_ in split.part(part))
        if twins > most:
            most, of = twins, len(split.part(part))
    return f"{most} of {of}" if most else ""


def _passed(conditions: list[Condition], failed: list[Check]) -> list[Check]:
    """Tell what holds for all conditions."""
    if not conditions:
        return []
    said = " ".join(check.text for check in failed)
    promises = {
        "near-duplicate": "No validation or test image has a near-duplicate in training.",
        "the label is in the input": "No label is drawn into any image.",
        "accuracies are not k/n": "Every run has one case for each validation and test image of its saved split.",
    }
    return [Check(True, text) for words, text in promises.items() if words not in said]
