"""Sizes and distances in millimetres are right for any pixel, and count only where the size of a pixel is known."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import cdist

from bus_lightning.diagnosis.measurements import measure
from bus_lightning.metrics.catalogue import IN_MILLIMETRES, shown_in
from bus_lightning.metrics.columns import MILLIMETRES, cases_of_task
from bus_lightning.metrics.lesion_size import measure_lesion
from bus_lightning.metrics.millimetres import millimetre_scores
from bus_lightning.metrics.per_case import metrics_of, segmentation_metrics
from bus_lightning.metrics.surface import surface_scores

SHAPE = (120, 160)
PIXEL = (0.3, 0.1)  # three times as high as wide


def ellipse(centre, axes, shape=SHAPE):
    rows, columns = np.indices(shape)
    return torch.from_numpy(((rows - centre[0]) / axes[0]) ** 2 + ((columns - centre[1]) / axes[1]) ** 2 <= 1)


def outlines_apart(predicted, truth, spacing):
    """Measure the distance of each outline pixel to the other outline, with SciPy's distance transform."""
    edges = [mask & ~binary_erosion(mask) for mask in (predicted.numpy(), truth.numpy())]
    return [distance_transform_edt(~other, sampling=spacing)[own] for own, other in (edges, edges[::-1])]


@pytest.mark.parametrize("pixel", [(0.1, 0.1), PIXEL, (0.07, 0.25)])
def test_surface_distances_are_those_of_a_distance_transform_in_millimetres(pixel):
    truth, predicted = ellipse((60, 80), (25, 40)), ellipse((66, 72), (22, 45))
    apart = outlines_apart(predicted, truth, pixel)
    scores = millimetre_scores(predicted, truth, pixel)
    assert scores["hd95_mm"] == pytest.approx(max(np.percentile(side, 95) for side in apart), rel=1e-5)
    assert scores["surface_dice_1mm"] == pytest.approx((np.concatenate(apart) <= 1).mean())
    assert 0 < scores["surface_dice_1mm"] < 1


def test_square_pixels_only_scale_the_distance():
    truth, predicted = ellipse((60, 80), (25, 40)), ellipse((66, 72), (22, 45))
    expected = surface_scores(predicted, truth)["hd95"] / 100 * math.hypot(*SHAPE) * 0.08
    assert millimetre_scores(predicted, truth, (0.08, 0.08))["hd95_mm"] == pytest.approx(expected)


def test_the_height_of_a_pixel_counts_along_the_rows():
    truth = torch.zeros(SHAPE, dtype=torch.bool)
    truth[40:60] = True  # a band across the image: 20 pixels high, 160 wide
    moved = truth.roll(10, dims=0)
    scores = millimetre_scores(moved, truth, PIXEL)
    assert scores["hd95_mm"] == pytest.approx(10 * 0.3)
    assert scores["area_mm2"] == pytest.approx(20 * 160 * 0.3 * 0.1)
    assert scores["long_axis_mm"] == pytest.approx(math.hypot(20 * 0.3, 160 * 0.1))


@pytest.mark.parametrize("pixel", [(0.1, 0.1), PIXEL])
def test_the_long_axis_joins_the_two_corners_of_the_largest_lesion_that_are_farthest_apart(pixel):
    lesion = ellipse((50, 60), (18, 30)) & ~ellipse((50, 84), (30, 14))
    mask = lesion.clone()
    mask[100:105, 10:150] = True  # longer, and smaller
    corners = np.concatenate([np.argwhere(lesion.numpy()) + corner for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    corners = np.unique(corners, axis=0) * pixel
    area, long_axis = measure_lesion(mask.numpy(), pixel)
    assert lesion.sum() > 700 == mask[100:105].sum()
    assert area == pytest.approx(float(lesion.sum()) * math.prod(pixel))
    assert long_axis == pytest.approx(cdist(corners, corners).max())


@pytest.mark.parametrize("mask", [ellipse((60, 80), (30, 20)), ellipse((10, 20), (30, 20)), ellipse((60, 80), (2, 70))])
def test_a_lesion_has_the_size_that_a_diagnosis_gives_it(mask):
    measured = measure(mask.numpy(), PIXEL)
    assert measure_lesion(mask.numpy(), PIXEL) == pytest.approx((measured.area_mm2, measured.long_axis_mm))


def test_a_single_pixel_has_the_size_of_a_pixel():
    mask = torch.zeros(SHAPE, dtype=torch.uint8)
    mask[5, 7] = 1
    assert measure_lesion(mask.numpy(), PIXEL) == pytest.approx((0.03, math.hypot(*PIXEL)))


def test_a_missed_lesion_has_no_size_and_the_diagonal_as_its_distance():
    truth, nothing = ellipse((60, 80), (25, 40)), torch.zeros(SHAPE, dtype=torch.bool)
    scores = millimetre_scores(nothing, truth, PIXEL)
    assert (scores["predicted_area_mm2"], scores["predicted_long_axis_mm"]) == (0, 0)
    assert scores["hd95_mm"] == pytest.approx(math.hypot(120 * 0.3, 160 * 0.1))
    assert scores["surface_dice_1mm"] == 0


def test_an_image_without_a_lesion_has_sizes_and_no_distances():
    predicted, nothing = ellipse((60, 80), (25, 40)), torch.zeros(SHAPE, dtype=torch.bool)
    scores = millimetre_scores(predicted, nothing, PIXEL)
    assert (scores["area_mm2"], scores["long_axis_mm"]) == (0, 0)
    assert scores["predicted_area_mm2"] == pytest.approx(float(predicted.sum()) * 0.03)
    assert (scores["hd95_mm"], scores["surface_dice_1mm"]) == (None, None)


# Two lesions and a normal image of known size, and two lesions whose pixel size is not known.
CASES = pd.DataFrame({
    "label": ["benign", "malignant", "normal", "benign", "benign"],
    "tp": [30, 0, 0, 40, 7], "fp": [5, 0, 9, 3, 1], "fn": [5, 20, 0, 3, 2], "tn": [60, 80, 91, 54, 90],
    "hd95": [4.0, 100, np.nan, 2, 3], "surface_dice": [0.8, 0, np.nan, 0.9, 0.7],
    "area_mm2": [35.0, 20, 0, np.nan, np.nan], "long_axis_mm": [9.0, 6, 0, np.nan, np.nan],
    "predicted_area_mm2": [33.0, 0, 9, np.nan, np.nan], "predicted_long_axis_mm": [8.5, 0, 4, np.nan, np.nan],
    "hd95_mm": [1.5, 14.5, np.nan, np.nan, np.nan], "surface_dice_1mm": [0.75, 0, np.nan, np.nan, np.nan],
})  # fmt: skip


def test_means_in_millimetres_are_over_the_lesions_whose_pixel_size_is_known():
    metrics = metrics_of(CASES)
    expected = {"lesions_in_mm": 2, "area_mm2": 27.5, "long_axis_mm": 7.5, "predicted_area_mm2": 16.5,
                "predicted_long_axis_mm": 4.25, "long_axis_error_mm": 3.25, "hd95_mm": 8,
                "surface_dice_1mm": 0.375}  # fmt: skip
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["hd95"] == pytest.approx(109 / 4)  # every lesion
    assert metrics["undefined"] == {}


def test_each_draw_of_a_bootstrap_counts_its_own_lesions():
    draws = segmentation_metrics(CASES, np.array([[2.0, 1, 1, 1, 1], [0, 0, 3, 1, 1]]))
    np.testing.assert_allclose(draws["lesions_in_mm"], [3, 0])
    np.testing.assert_allclose(draws["hd95_mm"], [(2 * 1.5 + 14.5) / 3, np.nan])


def test_without_a_known_lesion_millimetres_are_undefined_with_the_reason():
    metrics = metrics_of(CASES.iloc[2:])
    assert metrics["lesions_in_mm"] == 0
    for name in shown_in(IN_MILLIMETRES):
        assert metrics[name] is None
        assert metrics["undefined"][name] == "no lesion with a known pixel size"


def test_cases_without_millimetres_have_the_metrics_that_they_had():
    metrics, bare = metrics_of(CASES), metrics_of(CASES.drop(columns=[*MILLIMETRES]))
    assert bare == {name: metrics[name] for name in bare}
    assert not {name for name in bare if "mm" in name}


def test_a_classification_sees_no_millimetres():
    both = CASES.assign(prob_benign=0.5, prob_malignant=0.3, prob_normal=0.2)
    assert not set(MILLIMETRES) & set(cases_of_task("classification", both))
    assert set(MILLIMETRES) <= set(cases_of_task("segmentation", both))
