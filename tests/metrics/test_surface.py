"""How far outlines are apart, in shapes whose distances are known."""

import math

import pytest
import torch

from bus_lightning.metrics.surface import surface_scores


def box(top, left, height, width, shape=(300, 400)):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_the_same_outline_has_no_distance():
    lesion = box(100, 100, 50, 60)
    assert surface_scores(lesion, lesion) == {"hd95": 0, "surface_dice": 1}


def test_distance_is_in_per_cent_of_the_diagonal():
    # A band across the image, moved down by 20 of 500 pixels (the diagonal of 300 x 400).
    scores = surface_scores(box(120, 0, 50, 400), box(100, 0, 50, 400))
    assert scores["hd95"] == pytest.approx(100 * 20 / math.hypot(300, 400))


def test_within_one_per_cent_of_the_diagonal_outlines_agree():
    lesion = box(100, 100, 80, 80)
    assert surface_scores(box(104, 100, 80, 80), lesion)["surface_dice"] == 1  # 4 of 500 pixels
    assert surface_scores(box(107, 100, 80, 80), lesion)["surface_dice"] < 1


def test_a_missed_lesion_costs_the_diagonal():
    nothing = torch.zeros(300, 400, dtype=torch.bool)
    assert surface_scores(nothing, box(10, 10, 5, 5)) == {"hd95": 100, "surface_dice": 0}


def test_an_answer_next_to_the_lesion_misses_it():
    assert surface_scores(box(200, 200, 20, 20), box(10, 10, 20, 20)) == {"hd95": 100, "surface_dice": 0}


def test_an_image_without_a_lesion_has_no_distance():
    nothing = torch.zeros(300, 400, dtype=torch.bool)
    for answer in (nothing, box(10, 10, 5, 5)):
        assert surface_scores(answer, nothing) == {"hd95": None, "surface_dice": None}


def test_a_lesion_at_the_border_has_an_outline_there():
    scores = surface_scores(box(0, 0, 300, 400), box(0, 0, 300, 400))
    assert scores == {"hd95": 0, "surface_dice": 1}
