"""Measurements, calibration, doubts and heat maps of a diagnosis, compared with brute force."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy.spatial.distance import cdist
from sklearn.metrics import log_loss

from bus_lightning.core.errors import UserError
from bus_lightning.data.splits import make_named_split
from bus_lightning.diagnosis.bundle import OUT_OF_FOLD
from bus_lightning.diagnosis.doubt import find_doubts, fit_reference, strangeness
from bus_lightning.diagnosis.measurements import Measurements, measure
from bus_lightning.export import calibration
from bus_lightning.export.calibration import choose_threshold, find_temperature
from bus_lightning.export.predictions import cases_of_test, out_of_fold_cases
from bus_lightning.runs.finished import FinishedRun
from bus_lightning.runs.folder import RunDir

CLASSES = ["benign", "malignant", "normal"]


# Of the image below, from its own pixels: no resizing takes part.
GOLDEN = {
    "color_mean": -4.2590, "color_share": -4.2367, "grey_5": 0.0863, "grey_25": 0.1412, "grey_50": 0.1961,
    "grey_75": 0.2549, "grey_95": 0.4902, "grey_deviation": 0.1239, "black": -4.6052, "white": -6.2146,
    "entropy": 3.1133, "peak": -2.5765, "depth_0": -0.0532, "depth_1": -0.0847, "depth_2": 0.1444, "depth_3": -0.0498,
    "depth_4": -0.0270, "depth_5": -0.0008, "depth_6": 0.0237, "depth_7": 0.0474, "across_deviation": 0.0390,
    "across_asymmetry": 0.0628, "gradient_0": -6.8829, "layers_0": 1.1140, "slant_0": 0.0528, "edges_0": 4.7403,
    "flat_0": -2.5167, "gradient_1": -6.8509, "layers_1": 1.3632, "slant_1": 0.0497, "edges_1": 3.4787,
    "flat_1": -2.8967, "gradient_2": -6.4641, "layers_2": 1.6496, "slant_2": 0.0336, "edges_2": 2.6919,
    "flat_2": -2.6628, "gradient_3": -5.9838, "layers_3": 1.6132, "slant_3": 0.0499, "gradient_4": -5.8473,
    "layers_4": 0.9843, "slant_4": 0.1123, "speckle_25": -2.4858, "speckle_50": -2.3486, "speckle_90": -1.8304,
    "speckle_grows": 0.5213,
}  # fmt: skip


def tilted(shape, points):
    return cv2.fillPoly(np.zeros(shape, np.uint8), [np.array(points)], 1) > 0


def axes_of(mask, height, width):
    """The two pixel corners that are farthest apart, and how far the others reach across, in any unit."""
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.c_[(columns + x) * width, (rows + y) * height] for x in (0, 1) for y in (0, 1)])
    apart = cdist(corners, corners)
    first, last = np.unravel_index(apart.argmax(), apart.shape)
    x, y = corners[last] - corners[first]
    across = corners @ np.array([-y, x]) / apart.max()
    angle = np.degrees(np.arctan2(-y, x))
    return apart.max(), np.ptp(across), (angle + 90) % 180 - 90


@pytest.mark.parametrize("spacing", [(0.11, 0.23), (0.3, 0.05)])
@pytest.mark.parametrize(
    "points", [[(20, 60), (95, 20), (90, 38)], [(15, 15), (22, 11), (99, 70)], [(30, 8), (44, 70), (36, 72)]]
)
def test_axes_and_direction_are_those_of_the_two_corners_that_are_farthest_apart(points, spacing):
    mask = tilted((80, 130), points)
    measured = measure(mask, spacing)
    length, across, _ = axes_of(mask, 1, 1)
    assert (measured.long_axis_px, measured.short_axis_px) == pytest.approx((length, across))
    length, across, angle = axes_of(mask, *spacing)
    assert (measured.long_axis_mm, measured.short_axis_mm, measured.orientation_deg) == pytest.approx(
        (length, across, angle)
    )
    assert measure(mask).orientation_deg == pytest.approx(axes_of(mask, 1, 1)[2])
    assert measured.area_px == mask.sum()
    assert measured.area_mm2 == pytest.approx(mask.sum() * spacing[0] * spacing[1])
    rows, columns = np.nonzero(mask)
    assert measured.box == (rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1)


def test_what_rises_to_the_right_has_a_positive_direction_and_upright_is_ninety():
    rising, upright = np.eye(30, 40, dtype=bool)[::-1], np.zeros((30, 40), bool)
    upright[4:25, 7] = True
    assert measure(rising).orientation_deg == pytest.approx(45)
    assert measure(rising[::-1]).orientation_deg == pytest.approx(-45)
    assert abs(measure(upright).orientation_deg) == pytest.approx(np.degrees(np.arctan2(21, 1)))
    assert measure(rising).lesions == 1  # pixels that touch at a corner are one lesion


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_lesion_touches_a_border_only_where_one_of_its_pixels_lies_on_it(side):
    for away in (0, 1):
        mask = np.zeros((50, 90), bool)
        rows = {"top": slice(away, 9), "bottom": slice(40, 50 - away)}.get(side, slice(20, 30))
        columns = {"left": slice(away, 9), "right": slice(80, 90 - away)}.get(side, slice(40, 50))
        mask[rows, columns] = True
        assert measure(mask).touches_border is (away == 0)
        # One of several is enough, and a larger one that does not touch is measured.
        mask[12:19, 20:38] = True
        measured = measure(mask)
        assert (measured.touches_border, measured.lesions, measured.box) == (away == 0, 2, (12, 20, 7, 18))


def test_a_lesion_has_a_two_thousandth_of_the_image_at_least():
    for number, lesions in ((10, 1), (9, 0)):  # of 100 x 200 pixels
        mask = np.zeros((100, 200), bool)
        mask[50, 60 : 60 + number] = True
        assert measure(mask).lesions == lesions
    assert measure(np.zeros((5, 5), bool)) == Measurements()


def finished_run(folder, number, test, train, seed):
    """The folder of a run whose cases are drawn, and tested on the images named."""
    rng = np.random.default_rng(seed)
    run = RunDir(folder / f"run{number}")
    run.path.mkdir(parents=True)
    parts = {"train": train, "val": ["1-val"], "test": test}
    split = make_named_split(parts, "grouped", {id_: k for k, id_ in enumerate([*train, "1-val", *test])})
    labels = [CLASSES[int(id_.partition("-")[0])] for id_ in test]
    raw = np.exp(2.5 * (rng.normal(0, 1, (len(test), 3)) + np.eye(3)[[CLASSES.index(name) for name in labels]]))
    cases = pd.DataFrame(raw / raw.sum(axis=1, keepdims=True), columns=[f"prob_{name}" for name in CLASSES])
    cases = cases.assign(id=test, split="test", label=labels)
    # A validation case with a confident wrong answer: calibration takes test images only.
    chose = cases.iloc[:1].assign(split="val", label="normal", prob_benign=1.0, prob_malignant=0.0, prob_normal=0.0)
    run.write_cases(pd.concat([chose.assign(id="1-val"), cases]))
    config = OmegaConf.create({"task": {"name": "classification"}, "data": {"classes": CLASSES}})
    split.save(run.split)
    return FinishedRun(run, config), cases


@pytest.fixture
def cross_fitted(tmp_path):
    """Two folds of thirty training images, and the classifier of them all with its eleven test images."""
    ids = [f"{k % 3}-{k}" for k in range(30)]
    tested = [f"{k % 3}-{k}" for k in range(100, 111)]
    folds = [finished_run(tmp_path, k, ids[k::2], ids[1 - k :: 2], k) for k in (0, 1)]
    return folds, finished_run(tmp_path, 9, tested, ids, 9)


def calibrate(runs, classifier, sensitivity):
    """Calibrate a classifier on its folds, as an export does."""
    cases = out_of_fold_cases([runs], [classifier])
    return calibration.calibrate(cases, OUT_OF_FOLD, len(runs), cases_of_test(classifier), sensitivity)


def tempered(cases, temperature):
    powers = cases[[f"prob_{name}" for name in CLASSES]].to_numpy() ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_calibration_is_the_best_of_the_folds_and_is_judged_on_the_test_images(cross_fitted):
    folds, (classifier, own) = cross_fitted
    cases = pd.concat([cases for _, cases in folds], ignore_index=True)
    labels = cases["label"].map(CLASSES.index).to_numpy()
    calibration = calibrate([run for run, _ in folds], classifier, 0.8)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))
    losses = [log_loss(labels, tempered(cases, t), labels=[0, 1, 2]) for t in grid[::20]]
    assert calibration.temperature == pytest.approx(grid[::20][int(np.argmin(losses))], rel=0.04)
    assert log_loss(labels, tempered(cases, calibration.temperature)) <= min(losses) + 1e-9
    assert (calibration.n, calibration.runs) == (30, 2)
    assert calibration.before["log_loss"] == pytest.approx(log_loss(labels, tempered(cases, 1)), abs=6e-5)
    assert calibration.after["log_loss"] == pytest.approx(
        log_loss(labels, tempered(cases, calibration.temperature)), abs=6e-5
    )
    assert calibration.before["calibration_error"] != calibration.after["calibration_error"]
    sick, scores = labels == 1, tempered(cases, calibration.temperature)[:, 1]
    chosen = calibration.thresholds["malignant"]
    assert chosen["sensitivity"] == (scores[sick] >= chosen["threshold"]).mean() == 0.8
    assert chosen["specificity"] == pytest.approx((scores[~sick] < chosen["threshold"]).mean())
    assert (chosen["asked"], chosen["positives"], chosen["negatives"]) == (0.8, 10, 20)
    own_labels = own["label"].map(CLASSES.index).to_numpy()
    after, sick = tempered(own, calibration.temperature), own_labels == 1
    assert calibration.tested["n"] == 11
    assert calibration.tested["before"]["log_loss"] == pytest.approx(log_loss(own_labels, tempered(own, 1)), abs=6e-5)
    assert calibration.tested["after"]["log_loss"] == pytest.approx(log_loss(own_labels, after), abs=6e-5)
    flagged = after[:, 1] >= chosen["threshold"]
    assert calibration.tested["malignant"] == pytest.approx(
        {"sensitivity": flagged[sick].mean(), "specificity": (~flagged[~sick]).mean()}
    )


def test_out_of_fold_predictions_are_of_every_training_image_once_and_enough_of_each_class(cross_fitted):
    folds, (classifier, _) = cross_fitted
    run_a, run_b = (run for run, _ in folds)
    with pytest.raises(UserError, match="15 images were predicted by several runs, for example '0-0'"):
        calibrate([run_a, run_b, run_a], classifier, 0.9)
    with pytest.raises(UserError, match="15 training images were predicted by no run, for example '0-15'"):
        calibrate([run_a], classifier, 0.9)
    few = folds[1][1].copy()
    few.loc[few["label"] == "normal", "label"] = "benign"
    for number, fine in ((1, False), (0, True)):  # of the ten normals the other fold has five
        run_b.folder.write_cases(few)
        first = folds[0][1].copy()
        first.loc[first.index[first["label"] == "normal"][:number], "label"] = "benign"
        run_a.folder.write_cases(first)
        written = [replace(run_a), replace(run_b)]  # which have not read their cases yet
        if fine:
            assert calibrate(written, classifier, 0.9).n == 30
        else:
            with pytest.raises(UserError, match="4 images of normal, too few"):
                calibrate(written, classifier, 0.9)
    run_a.folder.write_cases(folds[0][1].assign(prob_benign=np.nan))
    with pytest.raises(UserError, match="is not a probability"):
        calibrate([replace(run_a), run_b], classifier, 0.9)
    run_a.folder.write_cases(folds[0][1].iloc[1:])
    with pytest.raises(UserError, match=r"does not hold the test images of its split\.json"):
        calibrate([replace(run_a), run_b], classifier, 0.9)


def test_the_threshold_lies_in_the_middle_below_the_last_lesion_that_is_needed():
    scores = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.5, 0.2])
    sick = np.array([1, 1, 1, 1, 0, 0, 0], bool)
    for required, threshold, sensitivity, specificity in [
        (0.5, 0.75, 0.5, 1.0), (0.51, 0.55, 0.75, 2 / 3), (0.75, 0.55, 0.75, 2 / 3), (1.0, 0.25, 1.0, 1 / 3),
        (0.01, 0.85, 0.25, 1.0),
    ]:  # fmt: skip
        chosen = choose_threshold(scores, sick, required)
        assert (chosen["threshold"], chosen["sensitivity"], chosen["specificity"]) == pytest.approx(
            (threshold, sensitivity, specificity)
        )
    # Where nothing lies below, half of it: the one without a lesion is an alarm.
    alone = choose_threshold(scores[:4], np.array([1, 0, 1, 1], bool), 1.0)
    assert (alone["threshold"], alone["specificity"]) == pytest.approx((0.15, 0))


def test_the_temperature_has_the_least_log_loss_also_at_the_ends_of_its_range():
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert find_temperature(probabilities, np.array([0, 1])) == pytest.approx(0.05, rel=0.01)  # always right
    assert find_temperature(probabilities, np.array([1, 0])) == pytest.approx(20, rel=0.01)  # always wrong


def statistics(image):
    """Read the statistics of an image off a reference that was fitted to twenty copies of it."""
    return np.array(fit_reference([image] * 20, [])["center"])


def ultrasound(seed, shape=(192, 192), marked=False):
    """Speckle that is brighter in the depth, darker at one side, with a bright layer."""
    rng = np.random.default_rng(seed)
    depth, side = np.linspace(0.3, 1, shape[0])[:, None], np.linspace(1, 0.6, shape[1])
    light = 90 * depth * side * (1 + 0.4 * rng.normal(size=shape)) + 90 * (abs(depth - 0.5) < 0.03)
    image = cv2.GaussianBlur(light.clip(0, 255), (0, 0), 1.2, sigmaY=0.7).astype(np.uint8)[..., None].repeat(3, 2)
    if marked:
        image[4:20, 9:40] = (250, 210, 20)
    return image


def test_the_statistics_of_an_image_are_those_that_older_bundles_were_fitted_with():
    # A bundle keeps numbers of its training images: an image must be described as theirs were.
    reference = json.loads(json.dumps(fit_reference([ultrasound(0, marked=True)] * 20, [])))
    named = dict(zip(reference["statistics"], reference["center"], strict=True))
    assert named == pytest.approx(GOLDEN, abs=2e-3)


def test_strangeness_is_the_shrunk_mahalanobis_distance_over_that_of_images_held_out():
    images = [ultrasound(k, shape=(150 + k, 210 - 2 * k), marked=k % 5 == 0) for k in range(27)]
    train, others = images[:23], images[23:]
    reference = fit_reference(train, others, false_alarms=0.25)
    names = reference["statistics"]
    linear = ("grey_", "depth_", "across_", "slant_")
    least = np.array([0.05 if name.startswith(linear) else 0.3 for name in names])
    values = np.array([statistics(image) for image in images])

    def distance(known, statistics):
        scale = np.maximum(known.std(axis=0), least)
        covariance = np.cov((known / scale).T)
        inverse = np.linalg.inv(0.8 * covariance + 0.2 * np.eye(len(names)))
        away = (statistics - known.mean(axis=0)) / scale
        return float(np.sqrt(away @ inverse @ away))

    held_out = [distance(values[:23], row) for row in values[23:]]
    for tenth in np.array_split(np.arange(23), 10):
        held_out += [distance(np.delete(values[:23], tenth, axis=0), values[k]) for k in tenth]
    threshold = np.sort(held_out)[int(np.ceil(0.75 * (len(held_out) - 1)))]
    assert reference["threshold"] == pytest.approx(threshold, rel=1e-3)
    assert (reference["train_images"], reference["held_out_images"], reference["false_alarms"]) == (23, 4, 0.25)
    for image, value in zip(images[20:], values[20:], strict=True):
        assert strangeness(image, reference) == pytest.approx(distance(values[:23], value) / threshold, rel=1e-3)
    assert len(fit_reference(train[:20], [])["center"]) == len(names)
    with pytest.raises(UserError, match="19 training images"):
        fit_reference(train[:19], others)


def test_a_doubt_begins_below_six_tenths_and_the_weightiest_comes_first():
    def codes(*probabilities, flag=None, ultrasound=True, lesions=1):
        named = dict(zip(CLASSES, probabilities, strict=True))
        doubts = find_doubts(ultrasound, named, flag, Measurements(lesions=lesions, touches_border=lesions > 1))
        return [doubt.code for doubt in doubts]

    assert codes(0.6, 0.3, 0.1) == []
    assert codes(0.599, 0.3, 0.101) == ["low_confidence"]
    assert codes(0.3, 0.7, 0, flag=True) == []
    assert codes(0.7, 0.3, 0, flag=False) == []
    assert codes(0.1, 0.1, 0.8, lesions=0) == []
    assert codes(0.4, 0.35, 0.25, flag=True, ultrasound=False, lesions=2) == [
        "not_ultrasound", "low_confidence", "malignant_not_excluded", "several_lesions", "at_the_border",
    ]  # fmt: skip
    assert codes(0.2, 0.1, 0.7, lesions=2) == ["lesion_but_normal", "several_lesions", "at_the_border"]
