"""Find reasons to doubt an answer in the cases of a run, and compute what is gained by leaving such answers out.

`diagnosis` raises the same doubts, apart from those that need the image. One more is that networks which differ only in
their seed disagree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.core.class_names import HEALTHY, LOW_CONFIDENCE, MALIGNANT
from bus_lightning.metrics.columns import PROBABILITY, Bools, Floats, answers_of, classes_of, probabilities_of, ratio
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import Estimate, weights_of, with_interval
from bus_lightning.statistics.summary import DRAWS


@dataclass(frozen=True)
class Deferral:
    """What changes if the answers with a doubt are left to a reader.

    Attributes:
        doubt: The doubt.
        share: Share of the answers that it is raised for.
        caught: Share of the wrong answers that it is raised for.
        caught_malignant: Share of the malignant images with another answer that it is raised for.
        kept: Accuracy of the other answers.
        gain: That accuracy minus the accuracy of all answers.
        gain_by_confidence: The gain if as many answers, those with the lowest confidence, were left out instead.
    """

    doubt: str
    share: Estimate
    caught: Estimate
    caught_malignant: Estimate
    kept: Estimate
    gain: Estimate
    gain_by_confidence: Estimate


def find_doubts(condition: Condition, thresholds: Mapping[str, float]) -> dict[str, Bools]:
    """Say for which test images of a classifier or a joint network each doubt is raised.

    Args:
        condition: With all columns of its cases.
        thresholds: Name of a run -> its threshold for malignant; empty without one.

    Returns:
        Doubt -> (n,) bool, in the order of `condition.part("test")`; only doubts that the cases can show.
    """
    test = condition.part("test")
    probabilities, answers = probabilities_of(test), answers_of(test)
    doubts = {f"confidence below {LOW_CONFIDENCE:.0%}": probabilities.max(axis=1) < LOW_CONFIDENCE}
    if thresholds:
        flagged = (test[f"{PROBABILITY}{MALIGNANT}"] >= test["run"].map(thresholds)).to_numpy()
        doubts["another answer, but malignant above its threshold"] = flagged & (answers != MALIGNANT)
    if "tp" in test:
        is_outlined = (test["tp"] + test["fp"] > 0).to_numpy()
        if HEALTHY in classes_of(test):
            doubts["a lesion was outlined, but the answer is normal"] = is_outlined & (answers == HEALTHY)
        doubts["no lesion was outlined, but the answer is a lesion"] = ~is_outlined & (answers != HEALTHY)
    if (seeds := _disagreement(test, answers)) is not None:
        doubts["another seed gives another answer"] = seeds
    return doubts


def _disagreement(test: pd.DataFrame, answers: NDArray[np.str_]) -> Bools | None:
    """Say which images get different answers in different replicates; None if no image is in two of them."""
    by_image = pd.Series(answers, index=test.index).groupby(test["id"])
    if not (by_image.transform("size") > 1).any():
        return None
    return np.asarray(by_image.transform("nunique") > 1)


def score_doubts(cases: pd.DataFrame, doubts: Mapping[str, Bools], draws: int = DRAWS) -> Iterator[Deferral]:
    """Compute what changes without the answers of each doubt; bootstrap over groups, replicates are pooled.

    Args:
        cases: Test images with `prob_<class>`, `label` and `group`.
        doubts: From `find_doubts`, in the order of the cases.
        draws: Draws of the bootstrap.
    """
    weights = weights_of(cases, draws)
    probabilities, labels = probabilities_of(cases), cases["label"].to_numpy()
    answers = answers_of(cases)
    wrong, missed = answers != labels, (labels == MALIGNANT) & (answers != MALIGNANT)
    order = np.argsort(np.argsort(probabilities.max(axis=1), kind="stable"), kind="stable")
    accuracy = _share(weights, ~wrong, np.ones(len(wrong), bool))
    for name, raised in doubts.items():
        kept = _share(weights, ~wrong, ~raised)
        by_confidence = _share(weights, ~wrong, order >= raised.sum())
        yield Deferral(
            name,
            share=with_interval(_share(weights, raised, np.ones(len(wrong), bool))),
            caught=with_interval(_share(weights, raised, wrong)),
            caught_malignant=with_interval(_share(weights, raised, missed)),
            kept=with_interval(kept),
            gain=with_interval(kept - accuracy),
            gain_by_confidence=with_interval(by_confidence - accuracy),
        )


def _share(weights: Floats, having: Bools, among: Bools) -> Floats:
    """Compute the share of images that have a property among others, in each draw: (D,), NaN where there are none."""
    both = np.stack([having & among, among], axis=1).astype(weights.dtype)
    part, whole = (weights @ both).astype("float64").T
    return ratio(part, whole)
