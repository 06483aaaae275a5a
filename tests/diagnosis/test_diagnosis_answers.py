"""A bundle answers as training does, each user by itself, and no answer leaves without its doubts."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tiny_bundle import MEAN, STD, Bright, SmallClassifier, make_bundle, speckled, with_disc

from bus_lightning.data.normalisation import Normalisation
from bus_lightning.data.preprocess import Overlay
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def training_side(image, classifier, overlay, temperature=2.0):
    """Answer an image as training does, with torch: mask, probabilities."""
    bundle_free = torch.from_numpy(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)[None]
    logits = Bright()(Normalisation(MEAN, STD)(bundle_free))
    full = torch.nn.functional.interpolate(logits.sigmoid(), image.shape[:2], mode="bilinear")[0, 0] >= 0.5
    mask = full.numpy().astype(np.uint8)
    part = overlay.box(mask) if overlay.crops("test") else (slice(None), slice(None))
    inner = np.ascontiguousarray(mask[part])
    shrinks = cv2.INTER_AREA if image[part].shape[0] > 64 else cv2.INTER_LINEAR
    square = cv2.resize(image[part], (64, 64), interpolation=shrinks)
    if overlay.applies_to("test"):
        square = overlay.draw(square, cv2.resize(inner, (64, 64), interpolation=cv2.INTER_NEAREST_EXACT))
    channels = 4 if overlay.style == "channel" else 3
    normalised = Normalisation(MEAN, STD, channels)(torch.from_numpy(square).permute(2, 0, 1)[None])
    with torch.no_grad():
        return mask > 0, (classifier.eval()(normalised) / temperature).softmax(1)[0].numpy()


@pytest.mark.parametrize("style", ["none", "contour", "fill", "channel", "crop"])
def test_answers_are_those_of_training_however_the_mask_enters(tmp_path, style):
    overlay, channels = Overlay(style=style, source="predicted"), 4 if style == "channel" else 3
    bundle = load_bundle(make_bundle(tmp_path / "bundle", overlay=overlay, channels=channels))
    image = with_disc(speckled(1, 3, (170, 200))[0], (60, 120), 30)
    mask, probabilities = training_side(image, SmallClassifier(channels), overlay)
    diagnosis = Diagnoser(bundle).diagnose([Frame(image), Frame(image[:90])])[0]
    assert (diagnosis.mask != mask).sum() <= 2
    np.testing.assert_allclose(list(diagnosis.probabilities.values()), probabilities, atol=1e-4)
    assert diagnosis.heat_map.shape == (170, 200)
    assert 0 < diagnosis.heat_map.max() <= 1
    if style == "crop":
        assert diagnosis.heat_map[:15].max() == 0 == diagnosis.heat_map[:, :60].max()


def test_the_flag_is_raised_at_its_threshold_and_calibration_is_reported(tmp_path):
    image = with_disc(speckled(1)[0])
    low, high = (make_bundle(tmp_path / name, thresholds={"malignant": {"threshold": level, "sensitivity": 0.95}},
                             temperature=None) for name, level in (("low", 0.01), ("high", 0.99)))  # fmt: skip
    diagnoses = [Diagnoser(load_bundle(path)).diagnose([Frame(image)])[0] for path in (low, high)]
    assert [diagnosis.malignant_flag for diagnosis in diagnoses] == [True, False]
    assert not diagnoses[0].calibrated


def test_a_heat_map_needs_a_head_and_is_made_on_request_only(bundle, tmp_path):
    frame = Frame(with_disc(speckled(1)[0]))
    without = make_bundle(tmp_path / "bundle", with_head=False)
    assert Diagnoser(load_bundle(without)).diagnose([frame])[0].heat_map is None
    assert Diagnoser(load_bundle(bundle)).diagnose([frame], heat_map=False)[0].heat_map is None
    assert Diagnoser(load_bundle(bundle)).diagnose([]) == []


def test_users_at_the_same_time_get_their_own_answers(bundle, together):
    diagnoser = Diagnoser(load_bundle(bundle))
    frames = [Frame(with_disc(speckled(1, k)[0], radius=10 + 5 * k)) for k in range(4)]
    alone = [diagnoser.diagnose([frame])[0] for frame in frames]

    turns = itertools.count()

    def ask():
        number = next(turns)
        return alone[number], [diagnoser.diagnose([frames[number]])[0] for _ in range(5)]

    for expected, answers in together(ask, 4):
        for answer in answers:
            assert answer.probabilities == pytest.approx(expected.probabilities)
            assert (answer.mask == expected.mask).all()


def test_no_answer_leaves_without_its_doubts(bundle):
    white = Frame(np.full((120, 120, 3), 255, np.uint8))
    diagnoses = Diagnoser(load_bundle(bundle)).diagnose([white, replace(white, spacing_mm=(0.1, 0.1))])
    for diagnosis in diagnoses:
        codes = [doubt.code for doubt in diagnosis.doubts]
        assert codes[0] == "not_ultrasound"
        assert "at_the_border" in codes
    assert diagnoses[1].measurements.area_mm2 == pytest.approx(144)
