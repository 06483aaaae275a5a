"""The numbers behind the curves of a report, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve as reference_curve

from bus_lightning.report.figures.curves import band, mean_in, net_benefit, rate_at, roc_curve


@pytest.mark.parametrize("seed", range(3))
def test_weighted_roc_points_are_those_of_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    truth, scores = generator.random(40) < 0.4, generator.normal(size=40).round(1)  # with ties
    weights = generator.integers(1, 4, size=(5, 40)).astype("float32")
    fpr, tpr = roc_curve(truth, scores, weights)
    for row in range(5):
        expected = reference_curve(truth, scores, sample_weight=weights[row], drop_intermediate=False)
        np.testing.assert_allclose([fpr[row], tpr[row]], expected[:2], atol=1e-12)


def test_rates_are_read_at_the_upper_end_of_a_step_and_between_points_on_the_line():
    fpr, tpr = np.array([[0.0, 0.0, 0.3, 0.3, 1.0]]), np.array([[0.0, 0.5, 0.5, 0.8, 1.0]])
    expected = [0.5, 0.5, 0.8, 0.9, 1.0]
    np.testing.assert_allclose(rate_at(fpr, tpr, np.array([0.0, 0.15, 3 * 0.1, 0.65, 1.0])), [expected])


def test_a_draw_without_positives_is_undefined_and_spoils_no_other():
    truth, scores = np.array([True, False, False]), np.array([0.9, 0.5, 0.1])
    rates = rate_at(*roc_curve(truth, scores, np.array([[0.0, 1, 1], [1, 1, 1]])), np.linspace(0, 1, 5))
    assert np.isnan(rates[0]).all()
    np.testing.assert_allclose(rates[1], 1)


def test_net_benefit_is_true_less_false_positives_at_the_odds_of_the_threshold():
    truth, scores = np.array([True, True, False, False]), np.array([0.9, 0.1, 0.6, 0.2])
    benefit = net_benefit(truth, scores, np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]]), np.array([0.2, 0.5]))
    np.testing.assert_allclose(benefit, [[(1 - 2 / 4) / 4, 0], [(2 - 2 / 4) / 4, (2 - 1) / 4]])


def test_means_leave_out_what_is_undefined():
    means = mean_in(np.array([1.0, np.nan, 4.0]), np.array([[1.0, 5, 1], [2, 1, 1], [0, 1, 0]]))
    np.testing.assert_allclose(means, [2.5, 2, np.nan])


def test_a_band_is_the_middle_95_percent_of_each_column():
    low, high = band(np.column_stack([np.arange(1001.0), np.full(1001, 3.0)]))
    np.testing.assert_allclose([low, high], [[25, 3], [975, 3]])
