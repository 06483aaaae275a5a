"""Baselines: exactly twenty statistics, computed once, and a classifier that sees the lesion's size alone."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.data import baselines
from bus_lightning.data.baselines import cached_features, fit_and_predict, size_of, statistics_of
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.simple_statistics import STATISTICS, simple_statistics


def described(image):
    return dict(zip(STATISTICS, simple_statistics(image), strict=True))


def grey(levels):
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=2)


def test_there_are_twenty_statistics_of_any_image():
    rng = np.random.default_rng(0)
    for shape in ((300, 500), (20, 31), (1, 1), (700, 2), (300, 2), (2, 300)):
        values = simple_statistics(grey(rng.integers(0, 256, shape)))
        assert len(values) == len(STATISTICS) == 20
        assert np.isfinite(values).all()


def test_the_statistics_of_a_known_image_are_those_worked_out_by_hand():
    image = np.zeros((256, 256))
    image[128:] = 255  # the lower half is white
    values = described(grey(image))
    assert values["mean"] == values["dark"] == values["bright"] == pytest.approx(0.5)
    assert values["deviation"] == pytest.approx(0.5)
    assert values["skewness"] == pytest.approx(0, abs=1e-9)
    assert values["kurtosis"] == pytest.approx(-2)
    assert values["percentile_25"] == 0
    assert values["percentile_75"] == 1
    assert values["entropy"] == pytest.approx(1)  # two levels, equally frequent
    assert values["lower_half"] == pytest.approx(1)
    assert values["middle_third"] == pytest.approx(0)
    assert values["gradient_95"] == 0  # the edge is two rows of 256
    assert values["gradient_mean"] == pytest.approx(4 * 2 / 256)  # a Sobel kernel adds up to 4
    assert values["contrast_mean"] < 0.03
    flat = described(grey(np.full((256, 256), 51)))
    assert flat["mean"] == pytest.approx(0.2)
    assert flat["kurtosis"] == flat["entropy"] == flat["fine_texture"] == 0


def test_the_statistics_do_not_depend_on_the_resolution_of_the_file():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (192, 256))
    large = np.kron(small, np.ones((3, 3)))  # the same picture in a file with three times the pixels
    assert simple_statistics(grey(small)) == pytest.approx(simple_statistics(grey(large)), rel=1e-2, abs=1e-2)


def test_features_are_measured_once(data_config, monkeypatch, tmp_path):
    cfg = data_config()
    prepared = prepare_data(cfg.data, needs_masks=False)
    first = cached_features(prepared, tmp_path)
    monkeypatch.setattr(baselines, "simple_statistics", lambda image: pytest.fail("measured again"))
    assert cached_features(prepared, tmp_path).equals(first)
    assert list(first.index) == prepared.frame["id"].tolist()
    lesion = first.index.str.startswith(("benign", "malignant"))
    assert (first.loc[lesion, "lesion_share"] > 0).all()
    assert (first.loc[~lesion, "lesion_share"] == 0).all()


def test_features_are_measured_also_where_nothing_can_be_kept(data_config, caplog, tmp_path):
    prepared = prepare_data(data_config().data, needs_masks=False)
    (tmp_path / "taken").write_text("")  # a file in the place of the folder
    features = cached_features(prepared, tmp_path / "taken")
    assert len(features) == len(prepared.frame)
    assert f"{tmp_path / 'taken'} cannot be written (" in caplog.text


def test_a_lesion_without_a_mask_has_no_size():
    features = pd.DataFrame({"lesion_share": [0.0, 0.1, 0.4]})
    assert size_of(features).tolist() == [[0, 0], [np.log(0.1), 1], [np.log(0.4), 1]]
    assert size_of(pd.DataFrame({"lesion_share": [0.1, np.nan]})) is None


def test_the_baseline_of_size_sees_nothing_but_the_size(data_config, tmp_path):
    cfg = data_config()
    prepared = prepare_data(cfg.data, needs_masks=False)
    features = cached_features(prepared, tmp_path)
    noise = features.assign(**dict.fromkeys(STATISTICS, 1.0))
    assert np.array_equal(size_of(features), size_of(noise))
    assert statistics_of(features).shape == (len(features), 20)
    other_sizes = features.assign(lesion_share=0.3)
    assert np.array_equal(statistics_of(features), statistics_of(other_sizes))


def test_a_class_without_training_images_is_never_predicted():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(40, 2))
    labels = ["b" if row[0] > 0 else "c" for row in train]
    probabilities = fit_and_predict(train, labels, np.array([[3.0, 0], [-3.0, 0]]), ["a", "b", "c"])
    assert probabilities[:, 0].tolist() == [0, 0]
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities[0, 1] > 0.8
    assert probabilities[1, 2] > 0.8
    assert np.array_equal(probabilities, fit_and_predict(train, labels, np.array([[3.0, 0], [-3.0, 0]]), list("abc")))
