"""What is gained without doubted answers is counted, and compared with the confidence alone."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.doubts import find_doubts, score_doubts

CLASSES = ["benign", "malignant", "normal"]


def cases(rows, **columns):
    """Cases from (label, probability of benign, of malignant)."""
    labels, benign, malignant = zip(*rows, strict=True)
    table = pd.DataFrame({"label": labels, "prob_benign": benign, "prob_malignant": malignant})
    table["prob_normal"] = 1 - table["prob_benign"] - table["prob_malignant"]
    ids = [f"{number}" for number in range(len(table))]
    return table.assign(
        **{"run": "a", "replicate": 0, "id": ids, "split": "test", "group": range(len(table))} | columns
    )


ROWS = [
    ("benign", 0.9, 0.05), ("benign", 0.5, 0.4), ("malignant", 0.1, 0.8), ("malignant", 0.5, 0.45),
    ("malignant", 0.7, 0.1), ("normal", 0.1, 0.1), ("normal", 0.5, 0.1), ("benign", 0.8, 0.1),
]  # fmt: skip


def doubts_of(table, thresholds=None, task="classification"):
    condition = Condition("net", "net", task, CLASSES, OmegaConf.create({}), [], table)
    return {name: raised.tolist() for name, raised in find_doubts(condition, thresholds or {}).items()}


def test_a_classifier_doubts_low_confidence_and_malignant_above_its_threshold():
    doubts = doubts_of(cases(ROWS), {"a": 0.3})
    low, malignant = doubts.values()
    assert list(doubts) == ["confidence below 60%", "another answer, but malignant above its threshold"]
    assert low == [False, True, False, True, False, False, True, False]
    assert malignant == [False, True, False, True, False, False, False, False]


def test_without_a_threshold_or_masks_or_seeds_there_is_only_the_confidence():
    assert list(doubts_of(cases(ROWS))) == ["confidence below 60%"]


def test_a_joint_network_doubts_answers_that_its_mask_contradicts():
    outlined = [5, 5, 5, 0, 5, 0, 5, 5]
    doubts = doubts_of(cases(ROWS, tp=outlined, fp=0, fn=0, tn=9), task="joint")
    assert doubts["a lesion was outlined, but the answer is normal"] == [False] * 8
    assert np.flatnonzero(doubts["no lesion was outlined, but the answer is a lesion"]).tolist() == [3]
    drawn = doubts_of(cases(ROWS, tp=0, fp=outlined[::-1], fn=0, tn=9), task="joint")
    assert np.flatnonzero(drawn["a lesion was outlined, but the answer is normal"]).tolist() == [5]


def test_seeds_that_disagree_raise_a_doubt_in_each_of_them():
    other = [*ROWS[:3], ("malignant", 0.1, 0.8), *ROWS[4:]]
    both = pd.concat([cases(ROWS), cases(other, run="b", replicate=1)], ignore_index=True)
    assert np.flatnonzero(doubts_of(both)["another seed gives another answer"]).tolist() == [3, 11]


def test_the_price_of_a_doubt_is_counted():
    table = cases(ROWS)  # three answers are wrong, numbers 3, 4 and 6; 3 and 4 are missed malignant images
    raised = np.array([False, True, False, True, False, False, True, False])
    (deferral,) = score_doubts(table, {"low": raised}, draws=200)
    values = {name: getattr(deferral, name)[0] for name in ("share", "caught", "caught_malignant", "kept", "gain")}
    assert values == pytest.approx(
        {"share": 3 / 8, "caught": 2 / 3, "caught_malignant": 1 / 2, "kept": 4 / 5, "gain": 4 / 5 - 5 / 8}
    )
    assert deferral.share[1] <= deferral.share[0] <= deferral.share[2]


def test_a_doubt_equal_to_the_confidence_has_the_gain_of_the_confidence():
    table = cases(ROWS)
    low = table[["prob_benign", "prob_malignant", "prob_normal"]].max(axis=1).to_numpy() < 0.6
    useless = np.roll(low, 1)
    first, second = score_doubts(table, {"low": low, "useless": useless}, draws=200)
    assert first.gain == first.gain_by_confidence
    assert second.gain[0] < second.gain_by_confidence[0] == pytest.approx(first.gain[0])


def test_a_doubt_that_is_never_raised_gains_nothing():
    (deferral,) = score_doubts(cases(ROWS), {"never": np.zeros(8, bool)}, draws=50)
    assert (deferral.share[0], deferral.gain[0], deferral.caught[0]) == (0, 0, 0)
