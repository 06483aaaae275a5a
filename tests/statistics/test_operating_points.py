"""Operating points: the threshold comes from validation images, and the numbers are those of the 2 x 2 table."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.operating_points import (
    BALANCED,
    MOST_PROBABLE,
    find_operating_points,
    predictive_values,
    sensitivity_rule,
)
from bus_lightning.statistics.thresholds import choose_balanced_threshold

DRAWS = 200


def cases(run, split, malignant, rest, replicate=0, start=0):
    """Cases of two classes from the probabilities of malignant images and of benign ones."""
    scores, labels = [*malignant, *rest], ["malignant"] * len(malignant) + ["benign"] * len(rest)
    ids = [f"{split}{start + number}" for number in range(len(scores))]
    table = {"run": run, "replicate": replicate, "id": ids, "split": split, "label": labels}
    numbers = start + np.arange(len(scores)) + 10_000 * (split == "val")
    return pd.DataFrame(table | {"group": numbers, "prob_benign": 1 - np.array(scores), "prob_malignant": scores})


def condition(*tables):
    return Condition("net", "net", "classification", ["benign", "malignant"], OmegaConf.create({}), [],
                     pd.concat(tables, ignore_index=True))  # fmt: skip


def points_of(*tables, **options):
    return {point.rule: point for point in find_operating_points(condition(*tables), draws=DRAWS, **options)}


VALIDATION = cases("a", "val", np.linspace(0.30, 0.99, 20), np.linspace(0.01, 0.60, 40))
TEST = cases("a", "test", np.linspace(0.20, 0.98, 25), np.linspace(0.02, 0.70, 50))


def test_the_threshold_has_the_asked_sensitivity_on_validation_images_and_the_test_images_do_not_move_it():
    points = points_of(VALIDATION, TEST)
    scores = VALIDATION.loc[VALIDATION["label"] == "malignant", "prob_malignant"]
    for sensitivity in (0.90, 0.95):
        threshold = points[sensitivity_rule(sensitivity)].thresholds["a"]
        assert (scores >= threshold).mean() == pytest.approx(sensitivity)
    other = points_of(VALIDATION, cases("a", "test", np.linspace(0.6, 0.99, 25), np.linspace(0.5, 0.9, 50)))
    assert {rule: point.thresholds for rule, point in other.items()} == {
        rule: point.thresholds for rule, point in points.items()
    }


def test_the_numbers_are_those_of_the_table_at_the_threshold():
    point = points_of(VALIDATION, TEST, prevalence=0.1)[sensitivity_rule(0.90)]
    is_malignant, called = TEST["label"] == "malignant", TEST["prob_malignant"] >= point.thresholds["a"]
    tp, fn = (called & is_malignant).sum(), (~called & is_malignant).sum()
    fp, tn = (called & ~is_malignant).sum(), (~called & ~is_malignant).sum()
    assert point.table == {"tp": tp, "fn": fn, "fp": fp, "tn": tn}
    sensitivity, specificity = tp / 25, tn / 50
    expected = {
        "sensitivity": sensitivity, "specificity": specificity, "ppv": tp / (tp + fp), "npv": tn / (tn + fn),
        "ppv_stated": 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity)),
        "npv_stated": 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity)),
    }  # fmt: skip
    for name, value in expected.items():
        estimate, low, high = point.estimates[name]
        assert estimate == pytest.approx(value)
        assert low <= estimate <= high


def test_the_most_probable_class_needs_no_threshold():
    point = points_of(VALIDATION, TEST)[MOST_PROBABLE]
    assert point.thresholds == {}
    assert point.table["tp"] == (TEST["prob_malignant"][TEST["label"] == "malignant"] > 0.5).sum()


def test_each_fold_has_its_own_threshold_and_the_folds_are_pooled():
    shifted = [
        cases("b", "val", np.linspace(0.50, 0.99, 20), np.linspace(0.01, 0.60, 40)),
        cases("b", "test", np.linspace(0.40, 0.98, 25), np.linspace(0.02, 0.70, 50), start=1000),
    ]
    alone = [points_of(VALIDATION, TEST), points_of(*shifted)]
    together = points_of(VALIDATION, TEST, *shifted)
    for rule, point in together.items():
        parts = [points[rule] for points in alone]
        assert point.thresholds == parts[0].thresholds | parts[1].thresholds
        assert point.table == {name: sum(part.table[name] for part in parts) for name in point.table}
        assert point.estimates["sensitivity"][0] == pytest.approx(
            np.mean([p.estimates["sensitivity"][0] for p in parts])
        )


def test_seeds_are_averaged():
    again = [table.assign(run="b", replicate=1) for table in (VALIDATION, TEST)]
    again[1] = again[1].assign(prob_malignant=again[1]["prob_malignant"] ** 2)
    pair = points_of(VALIDATION, TEST, *again)[BALANCED]
    alone = [points_of(VALIDATION, TEST)[BALANCED], points_of(*again)[BALANCED]]
    for name, (value, _, _) in pair.estimates.items():
        assert value == pytest.approx(np.mean([point.estimates[name][0] for point in alone]))


def test_the_value_read_off_the_roc_curve_is_the_best_specificity_with_the_asked_sensitivity():
    value, low, high = points_of(VALIDATION, TEST)[sensitivity_rule(0.90)].read_off
    positive = TEST.loc[TEST["label"] == "malignant", "prob_malignant"].to_numpy()
    negative = TEST.loc[TEST["label"] == "benign", "prob_malignant"].to_numpy()
    best = max((negative < level).mean() for level in positive if (positive >= level).mean() >= 0.90)
    assert value == pytest.approx(best)
    assert low <= value <= high


def test_the_balanced_threshold_has_the_highest_youden_index():
    generator = np.random.default_rng(0)
    positive = np.repeat([True, False], [30, 60])
    scores = np.where(positive, generator.normal(1, 1, 90), generator.normal(0, 1, 90)).round(1)
    chosen = choose_balanced_threshold(scores, positive)
    indices = [(scores >= t)[positive].mean() + (scores < t)[~positive].mean() for t in np.unique(scores)]
    assert chosen["sensitivity"] + chosen["specificity"] == pytest.approx(max(indices))


def test_predictive_values_are_those_of_the_example_of_altman_and_bland():
    ppv, npv = predictive_values(np.array([231 / 258]), np.array([54 / 86]), 0.25)
    assert (ppv[0], npv[0]) == pytest.approx((0.45, 0.95), abs=0.005)


def test_images_of_one_patient_widen_the_interval():
    def width(tables):
        _, low, high = points_of(*tables)[MOST_PROBABLE].estimates["sensitivity"]
        return high - low

    generator = np.random.default_rng(0)
    test = cases("a", "test", generator.choice([0.2, 0.9], 60), generator.choice([0.1, 0.8], 60))
    four = np.arange(len(test)) // 4
    same = test.groupby(four)["prob_malignant"].transform("first")
    patients = test.assign(prob_malignant=same, prob_benign=1 - same)
    grouped = patients.assign(group=four)
    assert width([VALIDATION, grouped]) > 1.5 * width([VALIDATION, patients])


@pytest.mark.parametrize(
    ("tables", "rules", "reason"),
    [
        ([TEST], 3, "a has no validation image"),
        ([cases("a", "val", [], [0.1, 0.2]), TEST], 3, "a has no malignant validation image"),
        ([cases("a", "val", [0.1, 0.2], []), TEST], 3, "every validation image of a is malignant"),
        ([VALIDATION, cases("a", "test", [], [0.1, 0.2])], 4, "no malignant test image"),
        ([VALIDATION, cases("a", "test", [0.1, 0.2], [])], 4, "every test image is malignant"),
        ([VALIDATION, TEST.assign(prob_malignant=np.nan)], 4, "some probabilities are not finite"),
    ],
)
def test_what_cannot_be_computed_says_why(tables, rules, reason):
    points = points_of(*tables)
    lacking = [point for point in points.values() if point.reason]
    assert len(lacking) == rules
    assert {point.reason for point in lacking} == {reason}
    assert all(not point.estimates for point in lacking)


def test_three_malignant_validation_images_are_counted():
    points = points_of(cases("a", "val", [0.4, 0.6, 0.9], np.linspace(0, 0.5, 9)), TEST)
    assert points[sensitivity_rule(0.95)].positives == {"a": 3}


def test_a_condition_without_test_images_has_no_points():
    assert find_operating_points(condition(VALIDATION)) == []
