"""Variance over images, trainings and splits, and what difference a number of images can show."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bus_lightning.statistics import variance
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.sample_size import images_needed, smallest_difference
from bus_lightning.statistics.summary import summarise
from bus_lightning.statistics.variance import spread_of


def spreads(accuracies, n=200, images=0.03):
    """The spread of runs from (set of test images, accuracy)."""
    tables = []
    for run, (which, accuracy) in enumerate(accuracies):
        right = np.arange(n) < round(accuracy * n)
        table = {"run": f"r{run}", "id": [f"{which}-{number}" for number in range(n)], "split": "test",
                 "label": "benign", "prob_benign": np.where(right, 0.9, 0.1)}  # fmt: skip
        tables.append(pd.DataFrame(table).assign(prob_malignant=lambda own: 1 - own["prob_benign"]))
    cases = pd.concat(tables, ignore_index=True)
    condition = SimpleNamespace(part=lambda name: cases[cases["split"] == name])
    sets = len({which for which, _ in accuracies})
    summary = pd.DataFrame([{"metric": "accuracy", "value": 0.5, "se_of_one": images, "n": n * sets}])
    (spread,) = spread_of(condition, summary, ["accuracy"])
    return spread


def test_runs_on_the_same_images_show_the_variance_of_trainings_alone():
    spread = spreads([("a", 0.80), ("a", 0.84), ("a", 0.88)])
    assert spread.seeds[0] == pytest.approx(0.04)
    assert (spread.seed_runs, spread.seed_sets, spread.split_sets) == (3, 1, 1)
    assert math.isnan(spread.splits[0])
    assert spread.images == 0.03


def test_the_interval_of_three_runs_is_that_of_the_chi_squared_distribution():
    _, low, high = spreads([("a", 0.80), ("a", 0.84), ("a", 0.88)]).seeds
    assert (low, high) == pytest.approx((0.04 * 0.521, 0.04 * 6.285), rel=2e-3)  # factors from tables for 2 df


def test_a_single_run_says_nothing_of_trainings_or_splits():
    spread = spreads([("a", 0.8)])
    assert all(map(math.isnan, (*spread.seeds, *spread.splits, spread.expected, spread.beyond)))
    assert (spread.seed_runs, spread.split_sets) == (0, 1)


def test_folds_are_compared_with_what_their_fewer_images_explain():
    spread = spreads([("a", 0.70), ("b", 0.80), ("c", 0.90)], images=0.03)
    assert spread.splits[0] == pytest.approx(0.1)
    assert spread.expected == pytest.approx(0.03 * math.sqrt(3))  # a third of the images
    assert spread.beyond == pytest.approx(math.sqrt(0.1**2 - 3 * 0.03**2))
    assert math.isnan(spread.seeds[0])


def test_the_trainings_are_taken_out_of_the_splits():
    runs = [("a", 0.78), ("a", 0.82), ("b", 0.78), ("b", 0.82)]
    spread = spreads(runs, images=0.0)
    assert spread.seeds[0] == pytest.approx(0.04 / math.sqrt(2))
    assert spread.expected == pytest.approx(spread.seeds[0] / math.sqrt(2))
    assert spread.beyond == 0  # the means are equal
    assert (spread.seed_runs, spread.seed_sets) == (4, 2)


def test_nested_components_are_found_again():
    generator = np.random.default_rng(0)
    split, seed = generator.normal(0, 0.05, 400), generator.normal(0, 0.02, (400, 3))
    by_set = [(frozenset({str(k)}), {"score": 0.5 + split[k] + value}) for k in range(400) for value in seed[k]]
    spread = variance._spread("score", by_set, 0.0, 400)
    assert spread.seeds[0] == pytest.approx(0.02, rel=0.1)
    assert spread.beyond == pytest.approx(0.05, rel=0.1)


def test_the_standard_error_of_the_summary_is_that_of_the_images(finished):
    run = finished("model=resnet34", number=300)
    (condition,) = read_group(run.path.parent).conditions
    row = summarise(condition, "test").set_index("metric").loc["accuracy"]
    binomial = math.sqrt(row["value"] * (1 - row["value"]) / row["n"])
    assert row["se"] == pytest.approx(binomial, rel=0.1)
    assert row["se_of_one"] == pytest.approx(row["se"])


def test_the_smallest_difference_is_found_in_four_of_five_experiments():
    se = 0.01
    differences = np.random.default_rng(0).normal(smallest_difference(se), se, 20_000)
    assert (np.abs(differences) > norm.ppf(0.975) * se).mean() == pytest.approx(0.8, abs=0.01)


def test_four_times_the_images_show_half_the_difference():
    difference = smallest_difference(0.02)
    assert images_needed(0.02, 100, difference) == 100
    assert images_needed(0.02, 100, difference / 2) == 400


def test_the_images_needed_agree_with_connors_formula_for_paired_accuracies():
    discordant, difference, n = 0.2, 0.05, 156
    se = math.sqrt((discordant - difference**2) / n)
    of_level, of_power = norm.ppf(0.975) * math.sqrt(discordant), norm.ppf(0.8) * math.sqrt(discordant - difference**2)
    connor = ((of_level + of_power) / difference) ** 2
    assert images_needed(se, n, difference) == pytest.approx(connor, rel=0.02)


def test_variance_of_trainings_is_not_attributed_to_the_split():
    spread = spreads([("a", 0.76), ("a", 0.84), ("b", 0.80), ("b", 0.88)], images=0.0)
    assert spread.splits[0] == pytest.approx(math.sqrt(0.0008))
    assert spread.expected == pytest.approx(math.sqrt(0.0016))
    assert spread.beyond == 0
