"""A bundle is calibrated on images that no network has seen, and says so where it is not."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from exported_runs import copy_fp32
from scipy.special import softmax
from sklearn.metrics import roc_curve

from bus_lightning.core.errors import UserError
from bus_lightning.data.splits import load_split
from bus_lightning.diagnosis.bundle import OUT_OF_FOLD
from bus_lightning.diagnosis.networks import Network
from bus_lightning.diagnosis.page.wording import malignant_of
from bus_lightning.export import card, card_evidence, making, variants
from bus_lightning.export.calibration import Calibration, calibrate, find_temperature
from bus_lightning.export.making import make_bundle
from bus_lightning.export.team import Team
from bus_lightning.statistics.thresholds import choose_threshold


def test_a_threshold_without_a_malignant_image_has_no_sensitivity():
    bundle = SimpleNamespace(thresholds={"malignant": {"threshold": 0.5}})
    cases = pd.DataFrame({"label": ["benign"] * 2, "prob_benign": [0.9, 0.2], "prob_malignant": [0.1, 0.8]})
    scores = variants._decisions(bundle, cases, cases)
    assert scores == {"answers_changed": 0, "sensitivity_malignant": None, "specificity_malignant": 0.5}


def test_calibration_uses_every_training_image_once_and_no_test_image(made, made_runs):
    calibration = json.loads((made.path / "bundle.json").read_text())["calibration"]
    split = load_split(made_runs / "cls" / "split.json")
    assert calibration["n"] == len(split.train)
    assert calibration["runs"] == 3
    assert calibration["after"]["log_loss"] <= calibration["before"]["log_loss"]
    assert made.thresholds["malignant"]["sensitivity"] >= 0.95
    assert calibration["tested"]["n"] == len(split.test)
    assert {"before", "after", "malignant"} <= set(calibration["tested"])


def test_a_bundle_says_when_it_is_not_calibrated_and_has_no_heat_map(made_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "quantise", copy_fp32)
    monkeypatch.setattr(making, "find_head", lambda net, images: None)  # as for a network without one
    bundle = make_bundle([made_runs / "seg", made_runs / "cls"], tmp_path / "bundle")
    content = json.loads((bundle.path / "bundle.json").read_text())
    assert bundle.temperature is None
    assert bundle.thresholds is None
    assert content["calibration"] == "not calibrated"
    assert "not calibrated" in bundle.card
    stage = bundle.networks["classifier"]
    assert stage.head is None
    assert "No heat map" in bundle.card
    size = stage.preprocessing.size
    assert len(Network(stage, "fp32")(np.zeros((1, 3, size, size), np.float32))) == 1
    assert not bundle.samples


def test_too_few_images_of_a_class_are_refused_in_one_line_that_names_no_option():
    cases = pd.DataFrame({"id": range(9), "label": ["a"] * 6 + ["b"] * 3, "prob_a": 0.5, "prob_b": 0.5})
    line = "^The out-of-fold predictions have 3 images of b, too few to calibrate: give all folds.$"
    with pytest.raises(UserError, match=line):  # folds that calibrate each other take no --out-of-fold
        calibrate(cases, OUT_OF_FOLD, 3, None, 0.95)


def test_the_temperature_is_the_one_that_probabilities_were_made_with():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 3)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((len(logits), 1))).argmax(axis=1)
    for temperature in (0.5, 1.0, 2.5):
        assert find_temperature(softmax(logits * temperature, axis=1), labels) == pytest.approx(temperature, rel=0.03)
    sure = np.array([[1.0, 0.0, 0.0]] * 9 + [[0.0, 1.0, 0.0]])  # not a number in its logarithms
    assert np.isfinite(find_temperature(sure, np.zeros(10, np.int64)))


@pytest.mark.parametrize("sensitivity", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_one_with_the_fewest_alarms_at_its_sensitivity(sensitivity):
    rng = np.random.default_rng(1)
    is_positive = rng.random(300) < 0.3
    scores = (rng.normal(size=300) + is_positive).round(1)  # with ties
    scores = 1 / (1 + np.exp(-scores))
    threshold = choose_threshold(scores, is_positive, sensitivity)
    false_alarms, hits, _ = roc_curve(is_positive, scores, drop_intermediate=False)
    assert threshold["sensitivity"] >= sensitivity
    assert threshold["specificity"] == pytest.approx(1 - false_alarms[hits >= sensitivity].min())
    assert np.abs(scores - threshold["threshold"]).min() > 1e-9
    assert threshold["positives"] + threshold["negatives"] == 300


@pytest.mark.parametrize(("asked", "written"), [(0.95, "95%"), (0.995, "99.5%"), (0.57, "57%"), (1.0, "100%")])
def test_the_sensitivity_that_was_asked_for_is_never_rounded_up(asked, written):
    chosen = {"threshold": 0.1, "sensitivity": asked, "specificity": 0.5, "asked": asked, "positives": 1000,
              "negatives": 9}  # fmt: skip
    bundle = SimpleNamespace(thresholds={"malignant": chosen}, calibrated_on=OUT_OF_FOLD)
    assert f"a sensitivity of at least {written}." in malignant_of(bundle, False)
    scores = {"log_loss": 1.0, "calibration_error": 0.1}
    calibration = Calibration(1.0, {"malignant": chosen}, 9, 4, OUT_OF_FOLD, scores, scores, None)
    assert f"a sensitivity of at least {written}. " in card._calibration(Team({}), calibration)
    point = {"asked": asked, "threshold": 0.1, "tested_on": "test", "positives": 3, "negatives": 2}
    estimates = {"sensitivity": [asked, None, None], "specificity": [0.5, None, None]}
    text = card_evidence.describe_evidence({"folds": 0, "results": {"all": {}}, "subgroups": [],
                                            "operating_points": [point | estimates]})[0]  # fmt: skip
    assert f"| {written} | 0.1000 |" in text
