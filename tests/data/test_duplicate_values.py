"""How well two images line up, in numbers."""

import numpy as np
import pytest
from test_duplicates import phantom

from bus_lightning.data.duplicates import agreement, make_fingerprint


@pytest.fixture(scope="module")
def image():
    return phantom(0)


def test_an_image_agrees_with_itself_in_full(image):
    own = make_fingerprint(image)
    assert agreement(own, own) == pytest.approx(1, abs=1e-4)


def test_an_image_agrees_with_another_contrast_of_itself_in_full(image):
    own, faint = make_fingerprint(image), make_fingerprint(image // 2 + 100)
    assert agreement(own, faint) == pytest.approx(agreement(faint, own), abs=0.02)
    assert agreement(own, faint) > 0.97


def test_half_of_the_blocks_may_hold_something_else(image):
    covered = image.copy()
    covered[:, :200] = np.random.default_rng(0).integers(0, 255, covered[:, :200].shape)
    assert agreement(make_fingerprint(image), make_fingerprint(covered)) > 0.85
    covered[:, :260] = np.random.default_rng(0).integers(0, 255, covered[:, :260].shape)
    assert agreement(make_fingerprint(image), make_fingerprint(covered)) < 0.85


@pytest.mark.parametrize(("share", "agrees"), [(0.5, True), (0.25, False)])
def test_two_parts_of_an_image_agree_where_they_share_a_third_or_more(image, share, agrees):
    half = image.shape[1] // 2  # the parts have this width each
    left, right = image[:, :half], image[:, round((1 - share) * half) : round((2 - share) * half)]
    actual = agreement(make_fingerprint(left), make_fingerprint(right))
    assert actual > 0.9 if agrees else actual == 0


def test_an_image_without_structure_has_no_keypoints():
    fingerprint = make_fingerprint(np.zeros((40, 50, 3), np.uint8))
    assert (fingerprint.points.shape, fingerprint.descriptors.shape) == ((0, 2), (0, 128))
    assert agreement(fingerprint, fingerprint) == 0
