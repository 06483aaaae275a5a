"""Masks near the limits of the rules: the lesion's pixels are counted where a slip in a rule would move them."""

import cv2
import numpy as np
import pytest
from PIL import Image
from test_masks import CORE, LESION, SHAPE, SPOT, saved

from bus_lightning.data.masks import MaskValueError, decode_mask, have_same_proportions, resize_mask


@pytest.mark.parametrize("highest", [0.4, 1.0])
def test_probabilities_are_cut_at_half_of_the_highest(highest, tmp_path):
    soft = cv2.GaussianBlur(highest * LESION.astype(np.float32), (0, 0), 1.2).clip(0, highest)
    decoded = decode_mask(saved(soft, tmp_path / "m.tif"))
    assert (decoded.lesion != (soft > soft.max() / 2)).sum() < 10
    assert decoded.rule.startswith("soft edges")


def test_probabilities_of_two_areas_are_two_labels(tmp_path):
    decoded = decode_mask(saved((0.4 * LESION + 0.4 * CORE).astype(np.float32), tmp_path / "m.tif"))
    np.testing.assert_array_equal(decoded.lesion, LESION)


def test_a_solid_spot_of_a_faint_level_is_never_taken_for_noise(tmp_path):
    noise = np.random.default_rng(3).integers(0, 2, SHAPE)
    assert not decode_mask(saved(noise, tmp_path / "noise.png")).lesion.any()
    noise[30:39, 30:39] = 5
    with pytest.raises(MaskValueError, match="noise or a small lesion"):
        decode_mask(saved(noise, tmp_path / "spot.png"))


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_each_side_of_the_border_counts(side, tmp_path):
    # A frame around three sides is more than half of the border, and less than nine tenths: it is unclear what it is.
    frame = np.zeros(SHAPE, np.uint8)
    frame[:3], frame[-3:], frame[:, :3], frame[:, -3:] = 255, 255, 255, 255
    open_side = {"top": np.s_[:3], "bottom": np.s_[-3:], "left": np.s_[:, :3], "right": np.s_[:, -3:]}[side]
    frame[open_side] = 0
    with pytest.raises(MaskValueError, match="% bright: it may be inverted, or have a frame") as caught:
        decode_mask(saved(frame, tmp_path / "m.png"))
    border = np.ones(SHAPE, bool)
    border[1:-1, 1:-1] = False
    assert f"{(frame[border] > 0).mean():.0%} bright" in str(caught.value)


def test_a_mask_is_scaled_by_at_most_eight():
    assert have_same_proportions((8, 16), (64, 128))
    assert not have_same_proportions((8, 16), (72, 144))
    assert have_same_proportions((64, 128), (8, 16))
    assert not have_same_proportions((72, 144), (8, 16))


def test_a_pixel_of_a_smaller_mask_is_lesion_from_half_of_its_area_on():
    large = np.zeros((4, 8), np.uint8)
    large[:2, 0], large[:2, 2:4], large[0, 4] = 1, 1, 1  # half, all and a quarter of three pixels
    assert resize_mask(large, (2, 4)).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]


def test_soft_edges_of_a_label_are_cut_at_half_of_it(tmp_path):
    ring = cv2.dilate(LESION.astype(np.uint8), np.ones((3, 3))) - LESION
    labels = LESION * 120 + SPOT * 255
    for level, is_lesion in ((59, False), (61, True)):
        decoded = decode_mask(saved(labels + ring * level, tmp_path / "m.png"))
        np.testing.assert_array_equal(decoded.lesion, (labels > 0) | ((ring > 0) & is_lesion))
        assert decoded.rule == "labels 120, 255 taken together as lesion"


def test_a_mask_of_several_pages_is_refused(tmp_path):
    first, second = (Image.fromarray(np.uint8(255) * part) for part in (LESION, SPOT))
    first.save(tmp_path / "m.tif", save_all=True, append_images=[second])
    with pytest.raises(MaskValueError, match="has 2 pages"):
        decode_mask(tmp_path / "m.tif")
