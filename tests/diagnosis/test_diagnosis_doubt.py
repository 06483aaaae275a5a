import json

import cv2
import numpy as np
import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image, read_index
from bus_lightning.diagnosis.doubt import find_doubts, fit_reference, is_like, strangeness
from bus_lightning.diagnosis.measurements import Measurements

LESION = Measurements(lesions=1, area_px=500)


@pytest.fixture(scope="module")
def images(phantom):
    return [read_image(phantom / name) for name in read_index(phantom)["image"]]


@pytest.fixture(scope="module")
def reference(images):
    train, held_out = images[::2], images[1::4]
    return json.loads(json.dumps(fit_reference(train, held_out)))  # as a bundle keeps it


def foreign():
    """Make pictures that are no ultrasound."""
    rng = np.random.default_rng(0)
    flat = np.zeros((200, 250, 3), np.uint8)
    chart = np.full((300, 400, 3), 255, np.uint8)
    for x in range(40, 360, 50):
        cv2.rectangle(chart, (x, 280 - x // 2), (x + 30, 280), (30, 90, 200), -1)
    text = np.full((300, 400, 3), 255, np.uint8)
    for y in range(30, 300, 30):
        cv2.putText(text, "Breast ultrasound, left", (10, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
    ramp = np.linspace(0, 255, 250, dtype=np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    return {"black": flat, "white": flat + 255, "grey": flat + 100, "chart": chart, "text": text, "ramp": ramp,
            "noise": rng.integers(0, 256, (200, 250, 1), dtype=np.uint8).repeat(3, 2),
            "coloured noise": rng.integers(0, 256, (200, 250, 3), dtype=np.uint8)}  # fmt: skip


@pytest.mark.parametrize("kind", foreign())
def test_an_image_that_is_not_ultrasound_is_doubted(reference, kind):
    assert not is_like(foreign()[kind], reference)


def test_ultrasound_outside_the_training_images_is_rarely_doubted(images, reference):
    assert np.mean([is_like(image, reference) for image in images[3::4]]) >= 0.9


def test_ultrasound_in_false_colours_or_turned_negative_is_doubted(images, reference):
    some = images[3::8]
    assert not any(is_like(cv2.applyColorMap(image, cv2.COLORMAP_JET), reference) for image in some)
    assert np.mean([is_like(255 - image, reference) for image in some]) < 0.3


@pytest.mark.parametrize("kind", ["flower.jpg", "china.jpg"])
def test_photos_are_doubted_also_in_grey(reference, kind):
    from sklearn.datasets import load_sample_image

    photo = load_sample_image(kind)
    assert not is_like(photo, reference)
    assert not is_like(cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), reference)


def test_the_threshold_lets_the_stated_share_of_held_out_images_be_doubted(images):
    strict, lax = (fit_reference(images[::2], images[1::2], false_alarms=share) for share in (0.3, 0.02))
    assert strict["threshold"] < lax["threshold"]
    assert np.mean([strangeness(image, strict) > 1 for image in images[1::2]]) == pytest.approx(0.3, abs=0.2)


def test_one_odd_held_out_image_does_not_let_others_pass(images):
    reference = fit_reference(images, [foreign()["white"]])
    assert not is_like(foreign()["black"], reference)


def test_images_with_coloured_marks_do_not_let_others_pass(images):
    plain = [image for image in images if (image == image[..., :1]).all()]
    marked = [cv2.drawMarker(image.copy(), (40, 40), (255, 225, 0), cv2.MARKER_CROSS, 25) for image in plain[50:53]]
    reference = fit_reference(plain[:50], marked)
    kinds = foreign()
    assert not any(is_like(kinds[kind], reference) for kind in kinds)


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (3000, 20), (20, 3000)])
def test_an_image_of_any_shape_gets_an_answer(reference, shape):
    assert np.isfinite(strangeness(np.full((*shape, 3), 60, np.uint8), reference))


def test_too_few_images_and_other_statistics_are_refused_in_one_line(images, reference):
    with pytest.raises(UserError, match="give at least"):
        fit_reference(images[:5], images[5:8])
    with pytest.raises(UserError, match="export it again"):
        is_like(images[0], reference | {"statistics": ["mean"]})


def codes(probabilities=(0.9, 0.05, 0.05), measurements=LESION, ultrasound=True, flag=None):
    named = dict(zip(("benign", "malignant", "normal"), probabilities, strict=True))
    return [doubt.code for doubt in find_doubts(ultrasound, named, flag, measurements)]


def test_a_clear_answer_has_no_doubt():
    assert codes() == []
    assert codes((0.02, 0.03, 0.95), Measurements()) == []


@pytest.mark.parametrize(("expected", "options"), [
    ("not_ultrasound", {"ultrasound": False}),
    ("low_confidence", {"probabilities": (0.5, 0.3, 0.2)}),
    ("malignant_not_excluded", {"probabilities": (0.8, 0.15, 0.05), "flag": True}),
    ("several_lesions", {"measurements": Measurements(lesions=2, area_px=500)}),
    ("at_the_border", {"measurements": Measurements(lesions=1, area_px=500, touches_border=True)}),
    ("no_lesion_but_benign", {"measurements": Measurements()}),
    ("no_lesion_but_malignant", {"measurements": Measurements(), "probabilities": (0.1, 0.9, 0)}),
    ("lesion_but_normal", {"probabilities": (0.1, 0, 0.9)}),
])  # fmt: skip
def test_each_reason_to_doubt_is_reported(expected, options):
    assert codes(**options) == [expected]


def test_a_doubt_is_a_sentence():
    for doubt in find_doubts(False, {"benign": 0.4, "malignant": 0.3, "normal": 0.3}, True, Measurements(lesions=3)):
        assert doubt.text[0].isupper()
        assert doubt.text.endswith(".")
