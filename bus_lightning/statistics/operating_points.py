"""Sensitivity, specificity and predictive values for malignant, at thresholds that the tested images did not choose.

Each run chooses its threshold on its own validation images, and is tested with it. In a cross-validation, each fold
has its own threshold, so every image is tested out of fold. In the terms of STARD 2015 (BMJ 351 (2015) h5527, item
12a), these thresholds are specified before the test; a value that is read off the ROC curve of the test images is
exploratory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.metrics.columns import PROBABILITY, Bools, Floats, answers_of, probabilities_of, ratio
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import Estimate, in_draws, with_interval
from bus_lightning.statistics.summary import DRAWS
from bus_lightning.statistics.thresholds import choose_balanced_threshold, choose_threshold

# Cancers among the examinations of women at elevated risk who were screened with ultrasound: 111 of 7,473 in ACRIN 6666
# (Berg et al., J. Natl. Cancer Inst. 108 (2016) djv367).
SCREENING_PREVALENCE = 0.015
MOST_PROBABLE = "most probable class"
BALANCED = "highest Youden index"
SENSITIVITIES = (0.90, 0.95)
_Choose = Callable[[Floats, Bools], Mapping[str, float | int]]


@dataclass(frozen=True)
class OperatingPoint:
    """A rule for calling an image malignant, and what it gives on the test images.

    Attributes:
        rule: `MOST_PROBABLE`, `BALANCED`, or `sensitivity_rule` of a sensitivity.
        thresholds: Name of a run -> its threshold; empty for the most probable class.
        positives: Name of a run -> the malignant validation images that its threshold was chosen with.
        table: `tp`, `fn`, `fp` and `tn`, images, summed over the replicates.
        n: Number of test images of a replicate.
        estimates: `sensitivity`, `specificity`, `ppv` and `npv` at the test images' own prevalence, and at the stated
            one as `ppv_stated` and `npv_stated`; mean over the replicates, NaN where undefined.
        read_off: Specificity at the required sensitivity, read off the ROC curve of the test images; None if none is
            required.
        reason: Why there are no numbers; else empty.
    """

    rule: str
    thresholds: dict[str, float] = field(default_factory=dict)
    positives: dict[str, int] = field(default_factory=dict)
    table: dict[str, int] = field(default_factory=dict)
    n: int = 0
    estimates: dict[str, Estimate] = field(default_factory=dict)
    read_off: Estimate | None = None
    reason: str = ""


def sensitivity_rule(sensitivity: float) -> str:
    """Name the rule that requires a sensitivity on validation images."""
    return f"sensitivity of {sensitivity:.0%} on validation"


def predictive_values(sensitivity: Floats, specificity: Floats, prevalence: float) -> tuple[Floats, Floats]:
    """Compute PPV and NPV from sensitivity, specificity and prevalence by Bayes' theorem; NaN where undefined.

    References:
        Altman and Bland, "Diagnostic tests 2: predictive values", BMJ 309 (1994) 102.
    """
    hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    misses, rejected = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    return ratio(hits, hits + alarms), ratio(rejected, rejected + misses)


def find_operating_points(
    condition: Condition, prevalence: float = SCREENING_PREVALENCE, draws: int = DRAWS
) -> list[OperatingPoint]:
    """Test every rule on the test images of a classifier.

    Args:
        condition: With the task classification and the class malignant.
        prevalence: Share of malignant for the stated PPV and NPV, in (0, 1).
        draws: Draws of the bootstrap over groups; the thresholds stay fixed in them.

    Returns:
        A point for each rule, in a fixed order; empty if there is no test image.
    """
    test, validation = condition.part("test"), condition.part("val")
    if test.empty:
        return []
    rules: dict[str, tuple[_Choose | None, float | None]] = {
        MOST_PROBABLE: (None, None),
        BALANCED: (choose_balanced_threshold, None),
    }
    for asked in SENSITIVITIES:
        rules[sensitivity_rule(asked)] = (partial(choose_threshold, sensitivity=asked), asked)
    is_malignant = (test["label"] == MALIGNANT).to_numpy()
    if why := _why_undefined(test, is_malignant):
        return [OperatingPoint(rule, reason=why) for rule in rules]
    tested = _Tested(test, is_malignant, draws)
    points = []
    for rule, (choose, wanted) in rules.items():
        read_off = tested.read_off(wanted) if wanted else None
        chosen = _chosen(condition, validation, choose) if choose else {}
        if isinstance(chosen, str):
            points.append(OperatingPoint(rule, reason=chosen, read_off=read_off))
            continue
        thresholds = {run: float(each["threshold"]) for run, each in chosen.items()}
        table, estimates = tested.score(tested.flag(thresholds), prevalence)
        positives = {run: int(each["positives"]) for run, each in chosen.items()}
        n = len(test) // len(tested.replicates)
        points.append(OperatingPoint(rule, thresholds, positives, table, n, estimates, read_off))
    return points


def _why_undefined(cases: pd.DataFrame, is_malignant: Bools) -> str:
    if not np.isfinite(probabilities_of(cases)).all():
        return "some probabilities are not finite"
    if not is_malignant.any():
        return "no malignant test image"
    return "every test image is malignant" if is_malignant.all() else ""


def _chosen(
    condition: Condition, validation: pd.DataFrame, choose: _Choose
) -> dict[str, Mapping[str, float | int]] | str:
    """Choose the threshold of each run on its validation images; a text that says why one has none."""
    chosen: dict[str, Mapping[str, float | int]] = {}
    for run in condition.cases.loc[condition.cases["split"] == "test", "run"].unique():
        own = validation[validation["run"] == run]
        is_positive = (own["label"] == MALIGNANT).to_numpy()
        scores = own[f"{PROBABILITY}{MALIGNANT}"].to_numpy("float64")
        if own.empty:
            return f"{run} has no validation image"
        if not is_positive.any():
            return f"{run} has no malignant validation image"
        if is_positive.all():
            return f"every validation image of {run} is malignant"
        if not np.isfinite(scores).all():
            return "some validation probabilities are not finite"
        chosen[run] = choose(scores, is_positive)
    return chosen


class _Tested:
    """The test images of a condition."""

    def __init__(self, cases: pd.DataFrame, is_malignant: Bools, draws: int) -> None:
        self.cases, self.is_malignant, self.draws = cases, is_malignant, draws
        self.scores = cases[f"{PROBABILITY}{MALIGNANT}"].to_numpy("float64")
        self.replicates = [(cases["replicate"] == number).to_numpy() for number in cases["replicate"].unique()]

    def flag(self, thresholds: Mapping[str, float]) -> Bools:
        """Return which images are called malignant, (n,): by their run's threshold, or by the most probable class."""
        if thresholds:
            return np.asarray(self.scores >= self.cases["run"].map(thresholds).to_numpy("float64"))
        return np.asarray(answers_of(self.cases) == MALIGNANT)

    def score(self, flagged: Bools, prevalence: float) -> tuple[dict[str, int], dict[str, Estimate]]:
        """Count the 2 x 2 table, and estimate the shares with their intervals."""
        cells = {
            "tp": flagged & self.is_malignant, "fn": ~flagged & self.is_malignant,
            "fp": flagged & ~self.is_malignant, "tn": ~flagged & ~self.is_malignant,
        }  # fmt: skip
        columns = np.stack([cell & own for own in self.replicates for cell in cells.values()], axis=1)
        counts = in_draws(self.cases, self.draws, lambda weights: weights @ columns.astype(weights.dtype))
        tp, fn, fp, tn = np.moveaxis(counts.astype("float64").reshape(len(counts), -1, len(cells)), 2, 0)
        sensitivity, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
        ppv_stated, npv_stated = predictive_values(sensitivity, specificity, prevalence)
        shares = {
            "sensitivity": sensitivity, "specificity": specificity, "ppv": ratio(tp, tp + fp),
            "npv": ratio(tn, tn + fn), "ppv_stated": ppv_stated, "npv_stated": npv_stated,
        }  # fmt: skip
        table = {name: int(cell.sum()) for name, cell in cells.items()}
        return table, {name: with_interval(values.mean(axis=1)) for name, values in shares.items()}

    def read_off(self, sensitivity: float) -> Estimate:
        """Read the specificity at a sensitivity off the ROC curve of the test images, separately in each draw."""

        def mean_of_replicates(weights: Floats) -> Floats:
            values = [self._specificity_at(sensitivity, own, weights[:, own]) for own in self.replicates]
            return np.asarray(np.mean(values, axis=0))

        return with_interval(in_draws(self.cases, self.draws, mean_of_replicates))

    def _specificity_at(self, sensitivity: float, own: Bools, weights: Floats) -> Floats:
        scores, positive = self.scores[own], self.is_malignant[own]
        order = np.argsort(-scores, kind="stable")
        last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
        weights = np.take(weights, order, axis=1)
        hits = np.cumsum(weights * positive[order], axis=1)[:, last_of_tie]
        alarms = np.cumsum(weights * ~positive[order], axis=1)[:, last_of_tie]
        total, negatives = hits[:, -1:], alarms[:, -1]
        enough = hits >= np.ceil(sensitivity * total - 1e-4)
        first = enough.argmax(axis=1)
        specificity = 1 - ratio(alarms[np.arange(len(first)), first], negatives)
        return np.where(total[:, 0] > 0, specificity, np.nan)
