"""What is drawn into an image, and where it is cut, in pixels."""

import numpy as np
import pytest
from test_preprocess import RED, drawn_pixels

from bus_lightning.data.preprocess import Overlay


@pytest.mark.parametrize(("height", "margin"), [(60, 0), (199, 0), (300, 2), (600, 3)])
def test_a_contour_is_thicker_on_a_higher_image(height, margin):
    mask = np.zeros((height, 200), np.uint8)
    mask[20:50, 60:140] = 1
    _, changed = drawn_pixels("contour", mask, color=RED)
    (columns,) = np.nonzero(changed[35])
    assert columns.tolist() == [side + k for side in (60, 139) for k in range(-margin, margin + 1)]


def test_a_mark_grows_with_the_image():
    (rows, columns), (high, wide) = (
        np.nonzero(drawn_pixels("class_mark", np.zeros((height, 3 * height), np.uint8))[1]) for height in (150, 600)
    )
    assert np.ptp(high) == pytest.approx(4 * np.ptp(rows), rel=0.15)
    assert np.ptp(wide) == pytest.approx(4 * np.ptp(columns), rel=0.15)
    assert high.min() == pytest.approx(4 * rows.min(), abs=6)


@pytest.mark.parametrize(
    ("lesion", "kept"),
    [
        ((slice(20, 40), slice(30, 70)), ((0, 60), (20, 80))),  # half of a side: (0.5 + 0.25) * 40
        ((slice(20, 60), slice(50, 60)), ((10, 70), (25, 85))),
        ((slice(70, 100), slice(100, 110)), ((62, 100), (82, 120))),  # the image ends before the square does
    ],
)
def test_a_crop_leaves_a_quarter_of_the_longer_side_around_the_lesion(lesion, kept):
    mask = np.zeros((100, 120), np.uint8)
    mask[lesion] = 1
    box = Overlay("crop", margin=0.25).box(mask)
    assert tuple((part.start, part.stop) for part in box) == kept


def test_a_drawing_is_yellow_unless_another_colour_is_chosen():
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 20:40] = 1
    drawn, changed = drawn_pixels("contour", mask)
    assert np.unique(drawn[changed], axis=0).tolist() == [[255, 255, 0]]
    filled, changed = drawn_pixels("fill", mask)
    assert np.unique(filled[changed], axis=0).tolist() == [[132, 132, 30]]  # 0.6 * 50 + 0.4 * 255
