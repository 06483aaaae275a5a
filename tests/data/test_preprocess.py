"""Cleaning, geometry and the label overlay do what their names say, and never change their input."""

import numpy as np
import pytest

from bus_lightning.config import image_options
from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image, read_index, read_mask
from bus_lightning.data.preprocess import DENOISERS, Overlay, Preprocessing

SHAPES = [(150, 230), (230, 150), (40, 60), (64, 64), (33, 200)]
RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture(scope="module")
def scan(phantom):
    """A phantom image and its mask, read-only."""
    row = read_index(phantom).iloc[0]
    image = read_image(phantom / row["image"])
    mask = read_mask(phantom, row["masks"], image.shape[:2])
    image.flags.writeable = mask.flags.writeable = False
    return image, mask


def disc(shape):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - shape[0] * 0.4) ** 2 + (columns - shape[1] * 0.6) ** 2 < (min(shape) * 0.3) ** 2).astype(np.uint8)


def test_the_config_accepts_the_filters_that_there_are():
    assert tuple(DENOISERS) == image_options.DENOISERS


@pytest.mark.parametrize("denoise", [name for name in DENOISERS if name != "none"])
def test_denoisers_remove_noise_and_keep_the_picture(denoise):
    clean = np.repeat(disc((80, 80))[..., None] * 120 + 60, 3, axis=2).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 8, (80, 80, 1))
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    cleaned = Preprocessing(size=64, denoise=denoise).clean(noisy)
    assert (cleaned.shape, cleaned.dtype) == (noisy.shape, np.uint8)

    def error(image):
        return np.abs(image.astype(float) - clean).mean()

    assert error(cleaned) < 0.7 * error(noisy)


def test_clahe_raises_local_contrast_and_leaves_grey_grey(scan):
    dull = (scan[0][..., :1] // 8 + 100).repeat(3, axis=2)
    raised = Preprocessing(size=64, contrast="clahe").clean(dull)
    assert raised.std() > 1.5 * dull.std()
    assert np.ptp(raised, axis=2).max() <= 2


def test_none_leaves_the_image_as_it_is(scan):
    np.testing.assert_array_equal(Preprocessing(size=64).clean(scan[0]), scan[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_stretch_fills_the_square(shape):
    preprocessing = Preprocessing(size=64)
    assert preprocessing.box(shape) == (0, 0, 64, 64)
    fitted = preprocessing.fit(np.full((*shape, 3), 200, np.uint8))
    assert fitted.shape == (64, 64, 3)
    assert (fitted == 200).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_pad_keeps_the_aspect_ratio_and_its_box_tells_where_the_image_lies(shape):
    preprocessing = Preprocessing(size=96, resize="pad")
    top, left, height, width = preprocessing.box(shape)
    assert max(height, width) == 96
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.05)
    assert abs(2 * top + height - 96) <= 1
    assert abs(2 * left + width - 96) <= 1
    for is_mask in (False, True):
        white = np.ones(shape, np.uint8) if is_mask else np.full((*shape, 3), 255, np.uint8)
        fitted = preprocessing.fit(white, is_mask)
        inside = np.zeros((96, 96), bool)
        inside[top : top + height, left : left + width] = True
        np.testing.assert_array_equal(fitted.reshape(96, 96, -1).any(axis=2), inside)


@pytest.mark.parametrize("resize", ["stretch", "pad"])
@pytest.mark.parametrize("shape", SHAPES)
def test_image_and_mask_stay_aligned_and_crop_back_to_where_they_were(resize, shape):
    preprocessing = Preprocessing(size=160, resize=resize)
    mask = disc(shape)
    fitted = preprocessing.fit(mask, is_mask=True)
    assert set(np.unique(fitted)) == {0, 1}
    bright = preprocessing.fit(np.repeat(mask[..., None] * 255, 3, axis=2))[..., 0] > 127
    assert dice(fitted, bright) > 0.96

    top, left, height, width = preprocessing.box(shape)
    rows = top + ((np.arange(shape[0]) + 0.5) * height / shape[0]).astype(int)
    columns = left + ((np.arange(shape[1]) + 0.5) * width / shape[1]).astype(int)
    assert dice(fitted[np.ix_(rows, columns)], mask) > 0.96


def dice(mask_a, mask_b):
    return 2 * np.logical_and(mask_a, mask_b).sum() / (np.sum(mask_a > 0) + np.sum(mask_b > 0))


def test_nothing_changes_its_input(scan):  # the arrays are read-only: a write would raise
    before = scan[0].copy(), scan[1].copy()
    for denoise in DENOISERS:
        preprocessing = Preprocessing(size=64, denoise=denoise, contrast="clahe", resize="pad")
        preprocessing.fit(preprocessing.clean(scan[0]))
    for style in ("none", "contour", "fill", "class_mark"):
        assert Overlay(style).draw(*scan, 0, "benign") is not scan[0]
    np.testing.assert_array_equal(scan[0], before[0])
    np.testing.assert_array_equal(scan[1], before[1])


def drawn_pixels(style, mask, label=0, name="benign", **options):
    image = np.full((*mask.shape, 3), 50, np.uint8)
    drawn = Overlay(style, **options).draw(image, mask, label, name)
    return drawn, (drawn != image).any(axis=2)


def test_contour_draws_the_outline_of_the_lesion():
    mask = disc((96, 96))
    drawn, changed = drawn_pixels("contour", mask, color=RED)
    assert 0 < changed.sum() < 0.4 * mask.sum()
    assert (drawn[changed] == RED).all()
    inner = np.pad(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:], 1)
    assert changed[(mask - inner) > 0].all()


def test_fill_blends_the_lesion_with_its_opacity():
    mask = disc((96, 96))
    drawn, changed = drawn_pixels("fill", mask, color=RED, alpha=0.4)
    np.testing.assert_array_equal(changed, mask > 0)
    assert drawn[changed].mean(axis=0).tolist() == [132, 30, 30]  # 0.6 * 50 + 0.4 * color


def test_class_mark_is_on_every_image_normals_too_and_differs_by_class():
    empty = np.zeros((224, 224), np.uint8)
    marks = [drawn_pixels("class_mark", empty, label, name)[1] for label, name in enumerate(["benign", "normal"])]
    assert all(mark.sum() > 100 for mark in marks)
    assert (marks[0] != marks[1]).any()


@pytest.mark.parametrize("style", ["none", "contour", "fill"])
def test_an_image_without_lesion_gets_no_outline(style):
    assert not drawn_pixels(style, np.zeros((96, 96), np.uint8))[1].any()


def test_none_draws_nothing():
    assert not drawn_pixels("none", disc((96, 96)))[1].any()


@pytest.mark.parametrize("style", ["contour", "fill", "class_mark"])
def test_colors_by_class_take_the_place_of_the_one_color(style):
    colors = {"color": (9, 9, 9), "color_by_class": [RED, GREEN], "alpha": 1}
    for label, color in enumerate([RED, GREEN]):
        drawn, changed = drawn_pixels(style, disc((200, 200)), label, **colors)
        assert (drawn[changed] == color).all(axis=1).any()
        assert not (drawn == (9, 9, 9)).all(axis=2).any()
    with pytest.raises(UserError, match=r"overlay.color_by_class has 2 colours, but none for 'normal'"):
        drawn_pixels(style, disc((200, 200)), 2, "normal", **colors)


def test_only_images_of_the_chosen_parts_get_an_overlay():
    overlay = Overlay("contour", parts=["train", "val"])
    assert [overlay.applies_to(part) for part in ("train", "val", "test")] == [True, True, False]
    assert not Overlay("none").applies_to("train")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (
            lambda: Preprocessing(64, denoise="wavelet"),
            "preprocess.denoise=wavelet .* none, median, bilateral, nlmeans",
        ),
        (lambda: Preprocessing(64, contrast="gamma"), "preprocess.contrast=gamma .* none, clahe"),
        (lambda: Preprocessing(64, resize="crop"), "data.resize=crop .* stretch, pad"),
        (lambda: Preprocessing(64, parts=["dev"]), "preprocess.parts=dev .* train, val, test"),
        (lambda: Preprocessing(0), "data.size=0"),
        (lambda: Overlay("arrow"), "overlay.style=arrow .* none, contour, fill, class_mark"),
        (lambda: Overlay(source="prediction"), "overlay.source=prediction .* ground_truth"),
        (lambda: Overlay(parts=["dev"]), "overlay.parts=dev"),
        (
            lambda: Overlay("channel", parts=["train"]),
            r"overlay.parts has train only, .* use 'overlay.parts=\[train,val,test\]'",
        ),
        (lambda: Overlay(alpha=1.5), "overlay.alpha=1.5"),
        (lambda: Overlay(color=(1, 2)), r"overlay.color: \[1, 2\]"),
        (lambda: Overlay(color_by_class=[(1, 2, 300)]), r"overlay.color: \[1, 2, 300\]"),
    ],
)
def test_unknown_names_and_values_are_refused_in_one_line(make, named):
    with pytest.raises(UserError, match=named) as caught:
        make()
    assert "\n" not in str(caught.value)
