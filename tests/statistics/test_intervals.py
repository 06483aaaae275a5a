"""Intervals against values worked out by hand, and against simulated data whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.statistics import intervals
from bus_lightning.statistics.intervals import group_draws, in_draws, percentile_interval, two_sided_p, wilson

# Groups 0, 1, 5 and from 8 on are benign; 3 is the only malignant one; the images of 4 and 7 carry two classes: 2 of 24
# groups.
GROUPS = [5, 0, 0, 1, 3, 3, 4, 4, 7, 7, *range(8, 26)]
CLASSES = ["benign"] * 4 + ["malignant"] * 2 + ["benign", "malignant", "malignant", "benign"] + ["benign"] * 18


def test_every_draw_has_as_many_groups_of_each_stratum_as_there_are():
    unique, drawn = group_draws(GROUPS, CLASSES, draws=500)
    assert unique.tolist() == [0, 1, 3, 4, 5, 7, *range(8, 26)]
    assert drawn.shape == (500, 24)
    assert drawn.dtype == np.float32
    benign, two_classes = drawn[:, [0, 1, 4, *range(6, 24)]], drawn[:, [3, 5]]
    assert (benign.sum(axis=1) == 21).all()
    assert (two_classes.sum(axis=1) == 2).all()
    assert {0, 1, 2, 3} <= set(np.unique(benign))
    assert set(np.unique(two_classes)) == {0, 1, 2}


def test_a_stratum_with_a_single_group_is_drawn_once_each_time():
    unique, drawn = group_draws(GROUPS, CLASSES, draws=500)
    assert (drawn[:, unique.tolist().index(3)] == 1).all()


def test_the_same_seed_gives_the_same_draws_whatever_the_order_of_the_images():
    order = np.random.default_rng(1).permutation(len(GROUPS))
    first = group_draws(GROUPS, CLASSES, draws=50)[1]
    again = group_draws([GROUPS[i] for i in order], [CLASSES[i] for i in order], draws=50)[1]
    assert (first == again).all()
    assert (first != group_draws(GROUPS, CLASSES, draws=50, seed=1)[1]).any()


def test_the_spread_of_a_mean_is_its_standard_error():
    # Group means 0, 0, 0, 1 in one stratum: their variance is 3/16, that of the mean of four drawn ones 3/64.
    _, drawn = group_draws([0, 1, 2, 3], ["benign"] * 4, draws=20_000)
    means = drawn @ np.array([0, 0, 0, 1]) / 4
    assert means.mean() == pytest.approx(1 / 4, abs=0.01)
    assert means.var() == pytest.approx(3 / 64, rel=0.03)


def test_draws_in_blocks_equal_all_draws_at_once_and_need_a_bounded_number_of_weights(monkeypatch):
    cases = pd.DataFrame({"group": GROUPS * 3, "label": CLASSES * 3})  # three replicates
    values, sizes = np.random.default_rng(0).random(len(cases)), []

    def compute(weights):
        sizes.append(weights.size)
        return weights @ values.astype(weights.dtype)

    unique, drawn = group_draws(cases["group"].tolist(), cases["label"].tolist(), draws=500)
    weights = np.vstack([np.ones((1, len(cases))), drawn[:, np.searchsorted(unique, cases["group"])]])
    for most in (intervals.AT_ONCE, 1000, 1):
        monkeypatch.setattr(intervals, "AT_ONCE", most)
        sizes.clear()
        np.testing.assert_allclose(in_draws(cases, 500, compute, np.float64), weights @ values)
        assert max(sizes) <= max(most, len(cases))
        np.testing.assert_allclose(in_draws(cases, 500, compute, np.float64, only=33), weights[:33] @ values)


def test_groups_without_a_stratum_are_refused():
    with pytest.raises(ValueError, match="zip"):
        group_draws([0, 1], ["benign"])


def test_the_interval_is_the_middle_of_the_defined_draws():
    draws = np.arange(1001.0)
    assert percentile_interval(draws) == pytest.approx((25, 975))
    assert percentile_interval(np.append(draws, [np.nan] * 1001)) == pytest.approx((25, 975))


def test_an_interval_is_undefined_when_more_than_half_of_the_draws_are():
    assert np.isnan(percentile_interval(np.array([0.5, 0.5, np.nan, np.nan, np.nan]))).all()
    assert np.isnan(percentile_interval(np.array([]))).all()


def test_p_counts_the_draws_beyond_zero_twice_and_is_never_zero():
    # Of 99 draws 4 are at zero or below: 2 (4 + 1) / (99 + 1). With the sign turned it is the same.
    draws = np.r_[[-1, -1, 0, 0], [2.0] * 95]
    assert two_sided_p(draws) == two_sided_p(-draws) == 0.1
    assert two_sided_p(np.ones(99)) == 2 / 100
    assert two_sided_p(np.zeros(99)) == 1
    assert two_sided_p(np.r_[draws, [np.nan] * 99]) == 0.1
    assert np.isnan(two_sided_p(np.r_[draws, [np.nan] * 100]))


def test_wilson_gives_his_formula():
    z2 = 1.959964**2  # (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) with p = 8/10
    centre, margin = 0.8 + z2 / 20, (z2 * (0.8 * 0.2 / 10 + z2 / 400)) ** 0.5
    assert wilson(8, 10) == pytest.approx(((centre - margin) / (1 + z2 / 10), (centre + margin) / (1 + z2 / 10)))
    assert wilson(0, 10) == pytest.approx((0, z2 / (10 + z2)))
    assert np.isnan(wilson(0, 0)).all()


@pytest.mark.slow
def test_groups_hold_the_nominal_coverage_that_images_and_wilson_miss():
    # 40 groups of each class, of 1 to 4 images; all images of a group get the same answer, except one in twenty.
    generator = np.random.default_rng(0)
    shares, classes = np.repeat([0.9, 0.7, 0.6], 40), np.repeat(["benign", "malignant", "normal"], 40)
    covered = {"groups": 0, "images": 0, "wilson": 0}
    for _ in range(400):
        members = np.repeat(np.arange(120), generator.integers(1, 5, size=120))
        easy = generator.random(120) < shares
        own = generator.random(len(members)) < 0.05
        right = np.where(own, generator.random(len(members)) < shares[members], easy[members])
        for name, groups in (("groups", members), ("images", np.arange(len(members)))):
            drawn = group_draws(groups, classes[members], draws=400)[1][:, groups]
            low, high = percentile_interval(drawn @ right / drawn.sum(axis=1))
            covered[name] += low <= shares.mean() <= high
        low, high = wilson(int(right.sum()), len(right))
        covered["wilson"] += low <= shares.mean() <= high
    assert 0.92 <= covered["groups"] / 400 <= 0.98
    assert covered["images"] / 400 < 0.85
    assert covered["wilson"] / 400 < 0.85
