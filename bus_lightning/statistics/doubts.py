"""Find reasons to doubt an answer in the cases of a run, and compute what is gained by leaving such answers out.

`diagnosis` raises the same doubts, apart from those that need the image. One more is that networks which differ only in
their seed disagree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.core.class_names import HEALTHY, LOW_CONFIDENCE, MALIGNANT
from bus_lightning.metrics.columns import PROBABILITY, Bools, Floats, answers_of, classes_of, probabilities_of, ratio
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import Estimate, in_draws, with_interval
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
    probabilities, labels = probabilities_of(cases), cases["label"].to_numpy()
    answers = answers_of(cases)
    wrong, missed = answers != labels, (labels == MALIGNANT) & (answers != MALIGNANT)
    order = np.argsort(np.argsort(probabilities.max(axis=1), kind="stable"), kind="stable")
    everyone = np.ones(len(wrong), bool)
    questions = [(~wrong, everyone)]
    for raised in doubts.values():
        questions += [(raised, everyone), (raised, wrong), (raised, missed)]
        questions += [(~wrong, ~raised), (~wrong, order >= raised.sum())]
    accuracy, *shares = in_draws(cases, draws, partial(_shares, questions)).T
    of_doubts = np.reshape(shares, (len(doubts), 5, len(accuracy)))
    for name, (share, caught, caught_malignant, kept, by_confidence) in zip(doubts, of_doubts, strict=True):
        yield Deferral(
            name,
            share=with_interval(share),
            caught=with_interval(caught),
            caught_malignant=with_interval(caught_malignant),
            kept=with_interval(kept),
            gain=with_interval(kept - accuracy),
            gain_by_confidence=with_interval(by_confidence - accuracy),
        )


def _shares(questions: Sequence[tuple[Bools, Bools]], weights: Floats) -> Floats:
    """Compute the share of images that have a property among others: (D, questions), NaN where there are none."""
    part = np.stack([having & among for having, among in questions], axis=1)
    whole = np.stack([among for _, among in questions], axis=1)
    return ratio(*((weights @ members.astype(weights.dtype)).astype("float64") for members in (part, whole)))
