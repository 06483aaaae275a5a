"""Calibration intercept and slope are those of a logistic regression."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.metrics.recalibration import calibration_intercept, calibration_slope

CLASSES = ["benign", "malignant", "normal"]


def outcomes(n=400, slope=1.0, intercept=0.0, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, n)
    return generator.random(n) < 1 / (1 + np.exp(-(slope * logits + intercept))), logits


def regression(truth, columns, weights, offset=None):
    model = sm.GLM(truth.astype(float), columns, sm.families.Binomial(), offset=offset, freq_weights=weights)
    return model.fit(tol=1e-12).params


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_slope_and_intercept_are_those_of_a_logistic_regression_in_every_draw(kind):
    truth, logits = outcomes(slope=0.6, intercept=0.5)
    draws = np.random.default_rng(1).multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=5)
    weights = np.concatenate([np.ones((1, len(truth))), draws]).astype(kind)
    slopes, intercepts = (fit(truth, logits, weights) for fit in (calibration_slope, calibration_intercept))
    for own, slope, intercept in zip(weights, slopes, intercepts, strict=True):
        close = {"rel": 1e-6 if kind == "float64" else 2e-3}
        assert slope == pytest.approx(regression(truth, sm.add_constant(logits), own)[1], **close)
        assert intercept == pytest.approx(regression(truth, np.ones((len(truth), 1)), own, logits)[0], **close)


def test_probabilities_that_are_twice_as_extreme_have_half_the_slope():
    truth, logits = outcomes(4000)
    once = np.ones((1, len(truth)))
    assert calibration_slope(truth, logits, once)[0] == pytest.approx(1, abs=0.1)
    assert calibration_slope(truth, 2 * logits, once)[0] == pytest.approx(0.5, abs=0.05)


def test_probabilities_that_are_too_high_have_a_negative_intercept():
    truth, logits = outcomes(4000)
    once = np.ones((1, len(truth)))
    assert calibration_intercept(truth, logits, once)[0] == pytest.approx(0, abs=0.15)
    assert calibration_intercept(truth, logits + 1, once)[0] == pytest.approx(-1, abs=0.15)


def test_separated_classes_have_no_slope_and_a_draw_without_a_class_has_neither():
    truth, logits = np.array([False, False, True, True]), np.array([-2.0, -1.0, 1.0, 3.0])
    assert np.isnan(calibration_slope(truth, logits, np.ones((1, 4)))).all()
    one_class = np.array([[1.0, 1, 0, 0]])
    assert np.isnan(calibration_slope(truth, logits, one_class)).all()
    assert np.isnan(calibration_intercept(truth, logits, one_class)).all()
    same = np.zeros(4)
    assert np.isnan(calibration_slope(truth, same, np.ones((1, 4)))).all()


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_a_draw_has_a_slope_only_if_its_classes_overlap(kind):
    truth = np.array([True, False, True, False])
    logits = np.array([1.0, 1.0, 2.0, -1.0])
    tie, touching, apart = [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]
    draws = np.array([tie, touching, apart], dtype=kind)
    assert np.isnan(calibration_slope(truth, logits, draws)).all()
    crossed = np.array([1.0, 1.5, 2.0, -1.0])
    assert np.isfinite(calibration_slope(truth, crossed, draws)).tolist() == [False, True, False]


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_cases_of_one_logit_have_no_slope_however_the_others_spread(kind):
    truth, logits = outcomes(40)
    logits[:10], truth[:10] = 0.3, [True, False] * 5
    draw = np.zeros((1, 40), dtype=kind)
    draw[0, :10] = 1
    assert np.isnan(calibration_slope(truth, logits, draw)).all()


def cases(labels, malignant):
    rest = (1 - np.asarray(malignant)) / 2
    return pd.DataFrame({"label": labels, "prob_benign": rest, "prob_malignant": malignant, "prob_normal": rest})


def test_the_metrics_say_why_there_is_no_slope():
    separated = metrics_of(cases(["benign", "benign", "malignant", "normal"], [0.1, 0.2, 0.9, 0.3]))
    assert separated["malignant_calibration_slope"] is None
    assert "separate it from the rest" in separated["undefined"]["malignant_calibration_slope"]
    assert separated["malignant_calibration_intercept"] is not None
    none = metrics_of(cases(["benign", "normal"], [0.1, 0.2]))
    assert none["undefined"]["malignant_calibration_slope"] == "no image of class malignant"
    every = metrics_of(cases(["malignant", "malignant"], [0.1, 0.2]))
    assert every["undefined"]["malignant_calibration_intercept"] == "every image is malignant"


def test_the_slope_of_the_metrics_takes_the_logit_of_malignant():
    generator = np.random.default_rng(2)
    table = cases(generator.choice(CLASSES, 200), generator.uniform(0.05, 0.95, 200))
    logits = np.log(table["prob_malignant"] / (1 - table["prob_malignant"])).to_numpy()
    expected = regression((table["label"] == "malignant").to_numpy(), sm.add_constant(logits), np.ones(200))
    assert metrics_of(table)["malignant_calibration_slope"] == pytest.approx(expected[1], rel=1e-6)


def test_answers_that_are_certain_have_an_intercept():
    truth, logits = np.array([True, False, True, False, False]), np.array([36.0, -36, -36, 36, -36])
    once = np.ones((1, 5))
    (intercept,) = calibration_intercept(truth, logits, once)
    assert (1 / (1 + np.exp(-(logits + intercept)))).sum() == pytest.approx(truth.sum())
    (low,) = calibration_intercept(truth, np.full(5, -36.0), once)
    assert 1 / (1 + np.exp(36 - low)) == pytest.approx(2 / 5)
