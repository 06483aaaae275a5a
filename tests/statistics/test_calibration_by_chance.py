"""Calibration bins and the error that chance alone gives."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics.calibration import bin_predictions, error_by_chance


def calibrated(n, seed, groups=None):
    """Cases whose confidences are right."""
    generator = np.random.default_rng(seed)
    benign = generator.uniform(0.5, 1, n)
    labels = np.where(generator.random(n) < benign, "benign", "malignant")
    table = pd.DataFrame({"label": labels, "prob_benign": benign, "prob_malignant": 1 - benign})
    return table.assign(group=np.arange(n) if groups is None else groups, replicate=0)


def test_chance_gives_the_errors_of_networks_whose_confidences_are_right():
    errors = [metrics_of(calibrated(150, seed))["calibration_error_adaptive"] for seed in range(150)]
    mean, highest = error_by_chance(calibrated(150, 0))
    assert mean == pytest.approx(np.mean(errors), rel=0.1)
    assert np.mean(np.array(errors) < highest) == pytest.approx(0.95, abs=0.05)


def test_more_images_leave_less_to_chance_and_images_of_a_patient_more():
    mean, _ = error_by_chance(calibrated(200, 0))
    assert error_by_chance(calibrated(3200, 0))[0] < 0.5 * mean
    assert error_by_chance(calibrated(200, 0, groups=np.arange(200) // 20))[0] > 1.3 * mean


def test_bins_show_how_often_a_prediction_came_true_with_an_interval():
    table = calibrated(400, 1)
    happened = (table["label"] == "benign").to_numpy()
    bins = bin_predictions(table, table["prob_benign"].to_numpy(), happened, draws=200)
    assert bins.number.tolist() == [40] * 10
    first = np.argsort(table["prob_benign"].to_numpy())[:40]
    assert bins.observed[0] == pytest.approx(happened[first].mean())
    assert bins.predicted[0] == pytest.approx(table["prob_benign"].to_numpy()[first].mean())
    assert ((bins.low <= bins.observed) & (bins.observed <= bins.high)).all()
    assert (np.diff(bins.predicted) > 0).all()


def test_one_value_for_all_is_one_bin():
    table = calibrated(30, 2).assign(prob_benign=0.7, prob_malignant=0.3)
    bins = bin_predictions(table, table["prob_benign"].to_numpy(), (table["label"] == "benign").to_numpy(), draws=20)
    assert bins.number.tolist() == [30]
