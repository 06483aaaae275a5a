"""The statistics that say whether an image is ultrasound, compared with another way to compute them."""

import cv2
import numpy as np
import pytest
from test_golden_diagnosis import ultrasound

from bus_lightning.diagnosis.doubt import fit_reference


def described(image):
    """Read the statistics of an image off a reference that was fitted to twenty copies of it."""
    reference = fit_reference([image] * 20, [])
    return dict(zip(reference["statistics"], reference["center"], strict=True))


@pytest.mark.parametrize("shape", [(120, 400), (400, 120), (100, 150), (300, 420)])
def test_an_image_is_averaged_only_where_both_sides_shrink(shape):
    image = ultrasound(1, shape=shape, marked=True)
    smooth = cv2.INTER_AREA if min(shape) > 192 else cv2.INTER_LINEAR
    assert described(image) == pytest.approx(described(cv2.resize(image, (192, 192), interpolation=smooth)), abs=1e-6)


def test_a_pixel_is_coloured_where_its_channels_are_more_than_25_levels_apart():
    image = np.full((192, 192, 3), 100, np.uint8)
    image[:24, :, 0] = 125  # an eighth
    assert described(image)["color_share"] == pytest.approx(np.log(0.001), abs=1e-4)
    image[:24, :, 0] = 126
    assert described(image)["color_share"] == pytest.approx(np.log(0.125 + 0.001), abs=1e-4)
    assert described(image)["color_mean"] == pytest.approx(np.log(26 / 255 / 8 + 0.002), abs=1e-4)


def test_an_image_of_one_level_has_statistics():
    statistics = described(np.full((192, 192, 3), 40, np.uint8))
    for number in range(5):
        assert statistics[f"gradient_{number}"] == pytest.approx(np.log(1e-6), abs=1e-3)
        assert statistics[f"layers_{number}"] == pytest.approx(0, abs=1e-6)
    assert statistics["speckle_grows"] == 0
