"""Intervals stay right with few patients who have images of several classes."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from benchmarks.coverage import METRICS, SCENARIOS, measure_scenario
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import (
    group_draws,
    in_draws,
    percentile_interval,
    weighted_median,
    with_interval,
)
from bus_lightning.statistics.paired_bootstrap import PairedBootstrap
from bus_lightning.statistics.selective import accuracy_at_coverages
from bus_lightning.statistics.summary import summarise


def patients(number, mixed):
    """Two images of each patient; the first `mixed` have two classes, the others are benign or malignant in turn."""
    groups = np.repeat(np.arange(number), 2)
    classes = [("benign", "malignant") if k < mixed else (("benign", "malignant")[k % 2],) * 2 for k in range(number)]
    return groups.tolist(), [name for pair in classes for name in pair]


def test_patients_with_several_classes_are_drawn_from_all_patients_and_fewer_than_there_are():
    groups, classes = patients(40, 30)
    _, drawn = group_draws(groups, classes, draws=2000)
    # 35 patients have benign images and 35 malignant ones.
    share = (34 / 35) * (1.959964 / t.ppf(0.975, 34)) ** 2
    assert (drawn.sum(axis=1) == round(40 * share)).all()
    of_one_class = drawn[:, 30:].sum(axis=1)
    assert of_one_class.std() > 2  # not fixed, as it is with strata


def test_the_spread_of_a_mean_is_that_of_students_t():
    groups, classes = patients(12, 12)
    means = np.arange(12.0)
    _, drawn = group_draws(groups, classes, draws=40_000)
    values = drawn @ means / drawn.sum(axis=1)
    low, high = percentile_interval(values)
    half = t.ppf(0.975, 11) * means.std(ddof=1) / 12**0.5
    # The number of drawn patients is whole: 9 for 8.7.
    assert (high - low) / 2 == pytest.approx(half, rel=0.03)


def test_at_least_half_of_the_patients_are_drawn():
    for number in (2, 3, 5):
        _, drawn = group_draws(*patients(number, number), draws=20)
        assert (drawn.sum(axis=1) >= number / 2).all()


def test_one_patient_in_ten_with_several_classes_does_not_change_the_strata():
    groups, classes = patients(40, 4)
    _, drawn = group_draws(groups, classes, draws=200)
    assert (drawn.sum(axis=1) == 40).all()
    assert (drawn[:, :4].sum(axis=1) == 4).all()
    assert (group_draws(*patients(40, 5), draws=200)[1].sum(axis=1) < 40).all()


def test_draws_without_a_class_are_left_out_and_too_many_of_them_leave_no_interval():
    groups, classes = patients(30, 30)
    classes = ["malignant" if k == 1 else "benign" if k % 2 else "normal" for k in range(60)]
    _, drawn = group_draws(groups, classes)
    with np.errstate(invalid="ignore"):
        sensitivity = drawn[:, 0] / drawn[:, 0]  # only the first patient has the malignant image
    assert 0.1 < np.isnan(sensitivity).mean() < 0.7
    assert percentile_interval(np.where(np.arange(2000) < 1200, np.nan, 1.0)) == pytest.approx(
        (np.nan,) * 2, nan_ok=True
    )


@pytest.mark.parametrize("classes", [["benign"] * 12, ["benign", "malignant"] * 6])
def test_images_of_one_patient_have_no_interval(classes):
    generator = np.random.default_rng(0)
    malignant = generator.random(12)
    table = pd.DataFrame({"id": list("abcdefghijkl"), "label": classes, "group": 0, "run": "r", "replicate": 0,
                          "split": "test", "prob_benign": 1 - malignant, "prob_malignant": malignant})  # fmt: skip
    summary = summarise(Condition("a", "a", "classification", ["benign", "malignant"], None, [], table), "test")
    assert summary["value"].notna().any()
    assert summary[["low", "high", "se"]].isna().all(axis=None)
    (accuracy, low, high), *_ = accuracy_at_coverages(table, 100).values()
    assert np.isfinite(accuracy)
    assert np.isnan([low, high]).all()
    _, low, high = with_interval(in_draws(table, 100, partial(weighted_median, malignant)))
    assert np.isnan([low, high]).all()


def test_two_conditions_are_not_compared_on_the_images_of_one_patient():
    right, groups = np.array([True] * 8 + [False] * 4), [0] * 12
    compared = PairedBootstrap("test", 200).compare(side("a", right, groups), side("b", ~right, groups), "accuracy")
    assert np.isnan(compared.p)
    assert compared.reason == "all shared images are near-duplicates or of one patient"


@pytest.mark.slow
def test_the_interval_of_38_patients_covers_about_95_per_cent():
    covered = measure_scenario(SCENARIOS["38 patients, several classes (BUS-UCLM)"], repetitions=200, draws=200)
    chosen, strata, images = (covered[name] for name in ("ours", "strata of combinations", "images"))
    for metric in METRICS:
        assert 0.88 <= chosen[metric] <= 0.99, metric
        assert chosen[metric] > strata[metric], metric
        assert images[metric] < 0.85, metric


def side(name, right, groups):
    """A condition whose answer on each image is right or wrong."""
    classes = ["benign", "malignant"] * (len(right) // 2)
    sure = np.where(np.equal(classes, "malignant") == right, 0.9, 0.1)
    cases = pd.DataFrame({
        "run": name, "replicate": 0, "id": [f"{k:03}" for k in range(len(right))], "split": "test", "group": groups,
        "label": classes, "prob_benign": 1 - sure, "prob_malignant": sure,
    })  # fmt: skip
    return Condition(name, name, "classification", ["benign", "malignant"], None, [], cases)


def test_a_paired_comparison_draws_the_same_patients_as_an_interval():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 4)
    a, b = (side(name, generator.random(80) < share, groups) for name, share in (("a", 0.8), ("b", 0.6)))
    compared = PairedBootstrap("test", 2000).compare(a, b, "accuracy")
    _, drawn = group_draws(groups.tolist(), a.cases["label"].tolist())
    weights = drawn[:, groups]
    assert (drawn.sum(axis=1) < 20).all()
    right = [(c.cases["prob_malignant"] > 0.5) == (c.cases["label"] == "malignant") for c in (a, b)]
    difference = weights @ (right[0].to_numpy(float) - right[1].to_numpy(float)) / weights.sum(axis=1)
    assert (compared.low, compared.high) == pytest.approx(percentile_interval(difference), abs=1e-5)
    assert compared.groups == 20
