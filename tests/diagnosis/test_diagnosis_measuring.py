import cv2
import numpy as np
import pytest

from bus_lightning.data.drawing import OUTLINE, draw_overlay
from bus_lightning.diagnosis.measurements import Measurements, measure


def ellipse(shape=(400, 500), center=(250, 200), axes=(120, 60), angle=0.0):
    """Draw an ellipse; `angle` in degrees, positive rises to the right; `axes` are half its sizes."""
    drawn = cv2.ellipse(np.zeros(shape, np.uint8), center, axes, -angle, 0, 360, 1, -1)
    return drawn > 0


@pytest.mark.parametrize("angle", [0, 30, 60, 90, -45])
def test_axes_and_direction_of_an_ellipse_are_those_it_was_drawn_with(angle):
    measured = measure(ellipse(angle=angle))
    assert measured.long_axis_px == pytest.approx(241, abs=2)
    assert measured.short_axis_px == pytest.approx(121, abs=2)
    # Near its ends an ellipse is so round that pixels decide between a few degrees.
    assert (measured.orientation_deg - angle + 90) % 180 - 90 == pytest.approx(0, abs=4)
    assert -90 < measured.orientation_deg <= 90
    assert measured.area_px == pytest.approx(np.pi * 120 * 60, rel=0.02)


def test_a_level_bar_is_as_long_as_its_diagonal():
    mask = np.zeros((100, 100), bool)
    mask[20:24, 10:60] = True
    measured = measure(mask)
    assert measured.box == (20, 10, 4, 50)
    assert measured.area_px == 200
    assert measured.long_axis_px == pytest.approx(np.hypot(50, 4))
    assert abs(measured.orientation_deg) == pytest.approx(np.degrees(np.arctan2(4, 50)))


def test_millimetres_are_right_where_pixels_are_not_square():
    # A circle of 20 mm, whose pixels are 0.2 mm high and 0.1 mm wide: upright on the screen it looks flat.
    measured = measure(ellipse(axes=(100, 50)), spacing_mm=(0.2, 0.1))
    assert measured.long_axis_mm == pytest.approx(20.1, abs=0.5)
    assert measured.short_axis_mm == pytest.approx(20.1, abs=0.5)
    assert measured.area_mm2 == pytest.approx(np.pi * 10**2, rel=0.02)
    assert measured.long_axis_px == pytest.approx(201, abs=2)
    # The long axis of the pixels is the short one in truth.
    upright = measure(ellipse(axes=(60, 50)), spacing_mm=(0.3, 0.1))
    assert upright.long_axis_mm == pytest.approx(30.3, abs=0.5)
    assert abs(upright.orientation_deg) == pytest.approx(90, abs=4)


def test_without_spacing_nothing_is_in_millimetres():
    measured = measure(ellipse())
    assert (measured.area_mm2, measured.long_axis_mm, measured.short_axis_mm) == (None, None, None)


def test_the_largest_lesion_is_measured_and_specks_are_no_lesions():
    mask = ellipse(axes=(60, 40)) | ellipse(center=(450, 350), axes=(20, 20))
    mask[5:8, 5:8] = True
    measured = measure(mask)
    assert measured.lesions == 2
    assert measured.box == measure(ellipse(axes=(60, 40))).box
    speck = np.zeros((400, 500), bool)
    speck[5:8, 5:8] = True
    assert measure(speck) == Measurements() == measure(np.zeros((400, 500), bool))


@pytest.mark.parametrize(("center", "touches"), [((250, 200), False), ((30, 200), True), ((470, 200), True),
                                                 ((250, 20), True), ((250, 380), True)])  # fmt: skip
def test_a_lesion_at_any_border_is_reported(center, touches):
    assert measure(ellipse(center=center, axes=(40, 30))).touches_border is touches


def test_a_lesion_of_one_pixel_and_a_full_mask_are_measured():
    dot = np.zeros((20, 20), bool)
    dot[3, 4] = True
    assert measure(dot).long_axis_px == pytest.approx(2**0.5)
    assert measure(np.ones((30, 40), bool)).long_axis_px == pytest.approx(50)


def test_the_outline_is_drawn_on_the_lesion_and_the_image_stays():
    image = np.full((400, 500, 3), 90, np.uint8)
    drawn = draw_overlay(image, ellipse())
    assert (image == 90).all()
    assert (drawn[200, 250] == 90).all()  # inside
    assert (np.abs(drawn.astype(int) - OUTLINE).sum(axis=2) < 30).sum() > 500
    assert (draw_overlay(image, np.zeros((400, 500), bool)) == image).all()


def test_heat_is_drawn_where_it_is_strong_and_with_the_chosen_strength():
    image, mask = np.full((300, 300, 3), 90, np.uint8), np.zeros((300, 300), bool)
    heat = np.zeros((300, 300), np.float32)
    heat[100:150, 100:150] = 1
    shown = [np.abs(draw_overlay(image, mask, heat, strength).astype(int) - 90) for strength in (0, 0.3, 0.9)]
    assert shown[0].max() == 0 < shown[1].max() < shown[2].max()
    assert shown[2][:90].max() == 0


def test_the_largest_of_several_lesions_is_measured_and_specks_do_not_count():
    mask = np.zeros((200, 300), bool)
    mask[20:30, 30:70] = True  # 400 pixels
    mask[100:125, 200:240] = True  # 1000, the largest
    mask[150:156, 10:15] = True  # 30: 0.05% of the image, just a lesion
    mask[180:184, 280:287] = True  # 28, a speck
    measured = measure(mask, spacing_mm=(0.5, 0.25))
    assert (measured.lesions, measured.area_px, measured.box) == (3, 1000, (100, 200, 25, 40))
    assert measured.area_mm2 == pytest.approx(1000 * 0.5 * 0.25)
    assert measured.long_axis_px == pytest.approx(np.hypot(25, 40))
    assert measured.short_axis_px == pytest.approx(2 * 25 * 40 / np.hypot(25, 40))
    # In millimetres the same box is 12.5 high and 10 wide: its diagonal is steeper.
    assert measured.long_axis_mm == pytest.approx(np.hypot(12.5, 10))
    assert abs(measured.orientation_deg) == pytest.approx(np.degrees(np.arctan2(12.5, 10)))
    assert not measured.touches_border


@pytest.mark.parametrize(
    ("rows", "columns", "touches"),
    [((0, 10), (20, 30), True), ((90, 100), (20, 30), True), ((20, 30), (0, 10), True), ((20, 30), (110, 120), True),
     ((1, 99), (1, 119), False)],
)  # fmt: skip
def test_every_side_is_a_border_and_the_pixel_next_to_it_is_not(rows, columns, touches):
    mask = np.zeros((100, 120), bool)
    mask[slice(*rows), slice(*columns)] = True
    mask[45:50, 50:55] = True  # another lesion, or a part of it, in the middle
    assert measure(mask).touches_border == touches


def test_the_direction_is_positive_where_the_lesion_rises_to_the_right():
    mask = np.zeros((100, 100), bool)
    for step in range(60):
        mask[80 - step : 84 - step, 20 + step : 24 + step] = True
    assert measure(mask).orientation_deg == pytest.approx(45, abs=1)
    assert measure(mask[:, ::-1]).orientation_deg == pytest.approx(-45, abs=1)
    assert measure(np.ascontiguousarray(mask.T[::-1])).orientation_deg == pytest.approx(-45, abs=1)
