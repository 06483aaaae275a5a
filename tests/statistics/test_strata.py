"""Scores within strata are those of their images, with intervals over groups."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics.strata import LEAST, metrics_in_strata, score_strata


def classified(number=60, replicates=1, per_group=1):
    rng = np.random.default_rng(0)
    tables = []
    for replicate in range(replicates):
        raw = rng.dirichlet(np.ones(3), number)
        cases = pd.DataFrame(raw, columns=["prob_benign", "prob_malignant", "prob_normal"])
        cases = cases.assign(id=[f"i{k}" for k in range(number)], group=np.arange(number) // per_group)
        tables.append(cases.assign(label=[("benign", "malignant", "normal")[k % 3] for k in range(number)],
                                   replicate=replicate))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


METRICS = ("accuracy", "malignant_vs_benign_auroc")


@pytest.mark.parametrize("replicates", [1, 3])
def test_a_score_is_the_metric_of_the_images_in_the_stratum(replicates):
    cases = classified(replicates=replicates)
    ids = {f"i{k}" for k in range(0, 60, 2)}
    scores = score_strata(cases, {"even": ids}, METRICS, draws=50)
    inside = cases[cases["id"].isin(ids)]
    for metric in METRICS:
        each = [metrics_of(table)[metric] for _, table in inside.groupby("replicate")]
        assert scores["even", metric].value == pytest.approx(np.mean(each))
    assert scores["even", "accuracy"].n == 30
    assert scores["even", "malignant_vs_benign_auroc"].n == 20
    low, high = scores["even", "accuracy"].interval
    assert low < scores["even", "accuracy"].value < high


def test_the_dice_of_a_stratum_is_that_of_its_images_with_a_lesion():
    cases = pd.DataFrame({"id": [f"i{k}" for k in range(30)], "group": range(30), "label": "benign", "replicate": 0,
                          "tp": [5] * 20 + [0] * 10, "fp": 5, "fn": [5] * 20 + [0] * 10, "tn": 9})  # fmt: skip
    scores = score_strata(cases, {"all": set(cases["id"])}, ("dice_image",), draws=20)
    assert scores["all", "dice_image"].n == 20
    assert scores["all", "dice_image"].value == pytest.approx(0.5)


def test_too_few_images_have_no_score_and_no_difference():
    cases = classified()
    few = {f"i{k}" for k in range(LEAST - 1)}
    scores = score_strata(cases, {"few": few, "all": set(cases["id"])}, ("accuracy",), draws=20)
    assert np.isnan(scores["few", "accuracy"].value)
    assert np.isnan(scores["few", "accuracy"].interval).all()
    assert np.isnan(scores["few", "accuracy"].minus(scores["all", "accuracy"])).all()
    assert scores["few", "accuracy"].n == LEAST - 1


def test_a_difference_of_strata_has_the_interval_of_the_same_draws():
    cases = classified(120)
    even, odd = ({f"i{k}" for k in range(start, 120, 2)} for start in (0, 1))
    scores = score_strata(cases, {"even": even, "odd": odd, "again": even}, ("accuracy",), draws=200)
    first, second = scores["even", "accuracy"], scores["odd", "accuracy"]
    difference, low, high = second.minus(first)
    assert difference == pytest.approx(second.value - first.value)
    assert low < difference < high
    assert scores["again", "accuracy"].minus(first) == (0, 0, 0)


def test_wrong_images_in_the_only_group_of_several_classes_still_spread_the_interval():
    # Drawn within combinations of classes, the group with both wrong images would be in every draw once.
    number = 40
    labels = ["benign"] * 20 + ["malignant"] * 20
    groups = [*range(19), 19, *range(20, 39), 19]
    right = [label == "malignant" for label in labels]
    right[19], right[39] = not right[19], not right[39]
    malignant = [float(flag) for flag in right]
    cases = pd.DataFrame({"id": [f"i{k}" for k in range(number)], "group": groups, "label": labels, "replicate": 0,
                          "prob_benign": [1 - value for value in malignant], "prob_malignant": malignant})  # fmt: skip
    score = score_strata(cases, {"all": set(cases["id"])}, ("accuracy",))["all", "accuracy"]
    assert score.value == 38 / 40
    assert score.interval[0] < 0.9
    assert score.interval[1] == 1


def test_classes_without_tumours_have_an_accuracy_only():
    assert metrics_in_strata("classification", ["cyst", "solid"]) == ("accuracy",)
    assert metrics_in_strata("classification", ["benign", "malignant", "normal"]) == METRICS
    assert metrics_in_strata("segmentation", []) == ("dice_image",)
