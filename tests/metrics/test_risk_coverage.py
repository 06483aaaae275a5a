"""Selective prediction and calibration with equal bins: the numbers are those of their definitions."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics.classification import equal_bins
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.metrics.risk_coverage import area_under_risk_coverage


def area_of_order(wrong):
    """The mean error rate of the first 1, 2, ... n answers, as Geifman et al. define it."""
    return float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))


def test_the_area_is_the_mean_error_rate_over_all_coverages():
    generator = np.random.default_rng(0)
    wrong, confidence = generator.random(50) < 0.3, generator.permutation(50) / 50
    (area,), (best,) = area_under_risk_coverage(wrong, confidence, np.ones((1, 50)))
    assert area == pytest.approx(area_of_order(wrong[np.argsort(-confidence)]))
    assert best == pytest.approx(area_of_order(np.sort(wrong)))


def test_answers_of_equal_confidence_count_as_the_mean_over_their_orders():
    wrong, confidence = np.array([False, True, False, True, True]), np.array([0.9, 0.7, 0.7, 0.7, 0.4])
    (area,), _ = area_under_risk_coverage(wrong, confidence, np.ones((1, 5)))
    orders = [[0, *middle, 4] for middle in ([1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1])]
    assert area == pytest.approx(np.mean([area_of_order(wrong[order]) for order in orders]))


def test_a_weight_is_a_number_of_copies():
    generator = np.random.default_rng(1)
    wrong, confidence = generator.random(12) < 0.4, generator.permutation(12) / 12
    weights = generator.integers(0, 4, (3, 12)).astype("float32")
    areas, best = area_under_risk_coverage(wrong, confidence, weights)
    for row, area, ideal in zip(weights.astype(int), areas, best, strict=True):
        copies = area_under_risk_coverage(np.repeat(wrong, row), np.repeat(confidence, row), np.ones((1, row.sum())))
        assert (area, ideal) == pytest.approx((copies[0][0], copies[1][0]))


@pytest.mark.parametrize(("wrong", "area"), [([True] * 4, 1.0), ([False] * 4, 0.0)])
def test_only_wrong_or_only_right_answers_leave_no_excess(wrong, area):
    (actual,), (best,) = area_under_risk_coverage(np.array(wrong), np.arange(4.0), np.ones((1, 4)))
    assert actual == best == pytest.approx(area)


def test_a_draw_without_an_answer_has_no_area():
    areas, best = area_under_risk_coverage(np.array([True]), np.array([0.5]), np.zeros((1, 1)))
    assert np.isnan(areas).all()
    assert np.isnan(best).all()


def binary(malignant, labels):
    malignant = np.asarray(malignant)
    return pd.DataFrame({"label": labels, "prob_benign": 1 - malignant, "prob_malignant": malignant})


def test_the_metrics_order_answers_by_their_probability():
    table = binary([0.95, 0.9, 0.8, 0.3], ["malignant", "benign", "malignant", "malignant"])
    metrics = metrics_of(table)
    wrong = [False, True, False, True]  # from the most confident: 0.95, 0.9, 0.8, 0.7
    assert metrics["aurc"] == pytest.approx(area_of_order(wrong))
    assert metrics["excess_aurc"] == pytest.approx(area_of_order(wrong) - area_of_order(sorted(wrong)))


def test_equal_bins_hold_equally_many_and_equal_values_share_one():
    values = np.random.default_rng(0).permutation(100) / 100
    assert np.bincount(equal_bins(values)).tolist() == [10] * 10
    assert set(equal_bins(np.full(30, 0.5))) == {0}
    assert equal_bins(np.array([0.1, 0.2, 0.3])).tolist() == [0, 3, 6]


def test_the_adaptive_calibration_error_is_the_gap_of_sorted_tenths():
    generator = np.random.default_rng(3)
    table = binary(generator.uniform(0.51, 0.99, 200), generator.choice(["malignant", "benign"], 200))
    tenths = np.array_split(np.argsort(table["prob_malignant"].to_numpy()), 10)
    right = (table["label"] == "malignant").to_numpy()
    gaps = [abs(table["prob_malignant"].to_numpy()[tenth].mean() - right[tenth].mean()) for tenth in tenths]
    assert metrics_of(table)["calibration_error_adaptive"] == pytest.approx(np.mean(gaps))
