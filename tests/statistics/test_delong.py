"""DeLong's test against a published example, by hand, and against a bootstrap."""

import numpy as np
import pytest

from bus_lightning.statistics.delong import delong

# 113 patients after aneurysmal subarachnoid haemorrhage (Turck et al., Intensive Care Med. 36 (2010) 107-115; the data
# set aSAH of pROC), 41 with a poor outcome and 72 with a good one: the WFNS grade, and the order of the S100B values.
WFNS_POOR = "32455552521254425552525245441442255225555"
WFNS_GOOD = "111151221221112121134141551124112212122111121211324214115422111312244111"
S100B_POOR = (
    "8 5 11 7 25 30 28 2 19 4 2 23 21 27 30 15 30 30 30 2 30 17 0 4 13 30 15 30 3 15 8 5 6 13 30 9 30 18 30 30 25"
)
S100B_GOOD = (
    "8 9 5 1 26 12 5 5 1 3 1 4 6 2 12 2 6 8 12 1 11 9 20 4 29 26 11 2 24 26 6 3 4 3 1 8 "
    "5 9 10 1 1 4 1 4 3 11 4 3 19 6 16 2 5 18 2 1 14 22 5 10 3 9 5 2 1 12 10 26 12 10 29 27"
)


def test_delong_gives_what_proc_publishes_for_its_example():
    # What the tests of pROC expect of roc.test (https://github.com/xrobin/pROC, tests/testthat/test-roc.test.R).
    grades = [int(grade) for grade in WFNS_POOR + WFNS_GOOD]
    levels = [int(level) for level in f"{S100B_POOR} {S100B_GOOD}".split()]
    result = delong([1] * 41 + [0] * 72, grades, levels)
    assert result.auc_a == pytest.approx(0.823678861788618)
    assert result.auc_b == pytest.approx(0.731368563685637)
    assert result.z == pytest.approx(2.20898359144091)
    assert result.p == pytest.approx(0.0271757822291882)
    assert (result.low, result.high) == pytest.approx((0.0104061769564846, 0.174214419249478))


def test_delong_follows_from_the_shares_that_each_case_beats():
    # a: positives 3 and 1 beat 1 and 1/2 of the negatives 2 and 0; b orders all. Per class the differences 0 and -1/2
    # have variance 1/8 and their mean 1/16, so that z = -1/4 / sqrt(1/16 + 1/16).
    result = delong([1, 1, 0, 0], [3, 1, 2, 0], [9, 8, 1, 1])
    assert (result.auc_a, result.auc_b, result.difference) == pytest.approx((0.75, 1, -0.25))
    assert result.z == pytest.approx(-(0.5**0.5))
    assert result.p == pytest.approx(0.4795, abs=1e-4)


def test_delong_counts_a_tie_as_half():
    assert delong([1, 1, 0, 0], [1, 1, 1, 1], [1, 2, 1, 0]).auc_a == 0.5
    assert delong([1, 1, 0, 0], [1, 1, 1, 1], [1, 2, 1, 0]).auc_b == 3.5 / 4


def test_delong_says_why_it_is_undefined():
    one_class = delong([1, 1, 1], [1, 2, 3], [1, 2, 3])
    assert np.isnan(one_class.p)
    assert "each class" in one_class.reason
    opposite = delong([1, 1, 0, 0], [3, 4, 1, 2], [1, 2, 3, 4])
    assert (opposite.difference, opposite.reason != "") == (1, True)
    assert np.isnan([opposite.low, opposite.high, opposite.z, opposite.p]).all()


def test_delong_finds_no_difference_between_scores_of_the_same_order():
    scores = np.array([0.1, 0.7, 0.4, 0.9, 0.2])
    result = delong([0, 1, 0, 1, 1], scores, scores**3)
    assert (result.difference, result.z, result.p, result.reason) == (0, 0, 1, "")


def test_delongs_interval_is_as_wide_as_that_of_a_bootstrap():
    generator = np.random.default_rng(0)
    labels = np.arange(200) < 80
    common = labels + generator.normal(size=200)
    a, b = common + 0.5 * generator.normal(size=200), common + generator.normal(size=200)
    differences = []
    for _ in range(1000):
        drawn = np.r_[generator.integers(0, 80, 80), generator.integers(80, 200, 120)]
        aucs = [(s[drawn[:80], None] > s[drawn[80:]]).mean() for s in (a, b)]
        differences.append(aucs[0] - aucs[1])
    result = delong(labels, a, b)
    assert result.high - result.low == pytest.approx(2 * 1.96 * np.std(differences), rel=0.1)
