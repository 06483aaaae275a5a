"""Augmentation moves image and mask together, decided by a seed and by nothing else."""

import random
from pathlib import Path

import albumentations
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation

GEOMETRIC = {"horizontal_flip": {"p": 1}, "vertical_flip": {"p": 1}, "rotation": {"p": 1, "limit": 40}}
PIXELS = {"color_jitter": {"p": 1, "brightness": 0.5}, "gaussian_blur": {"p": 1, "sigma_limit": [1, 2]}}
PAPER = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[2] / "conf/augment/paper.yaml"))


@pytest.fixture
def square():
    """A bright square off the centre, in image and mask."""
    mask = np.zeros((96, 96), np.uint8)
    mask[20:50, 40:60] = 1
    return np.repeat(mask[..., None] * 200, 3, axis=2), mask


@pytest.mark.parametrize("transforms", [*({name: options} for name, options in GEOMETRIC.items()), GEOMETRIC])
def test_image_and_mask_move_together(transforms, square):
    augmentation = Augmentation(transforms)
    for seed in range(5):
        image, mask = augmentation(*square, seed)
        assert (mask != square[1]).any()
        assert set(np.unique(mask)) == {0, 1}
        assert ((image[..., 0] > 100) != mask).sum() < 0.06 * mask.sum()  # an edge's interpolation


@pytest.mark.parametrize("name", PIXELS)
def test_pixel_changes_leave_the_mask_alone(name, square):
    image, mask = Augmentation({name: PIXELS[name]})(*square, 3)
    assert (image != square[0]).any()
    np.testing.assert_array_equal(mask, square[1])


def test_what_a_rotation_uncovers_is_black_and_no_lesion():
    white = np.full((64, 64, 3), 255, np.uint8), np.ones((64, 64), np.uint8)
    image, mask = Augmentation({"rotation": {"p": 1, "limit": [45, 45]}})(*white, 0)
    assert not image[0, 0].any()
    assert not mask[0, 0]


def test_the_seed_alone_decides(square):
    """Earlier calls, other objects and global generators change nothing."""
    first = Augmentation(PAPER)
    expected = [first(*square, seed) for seed in range(30)]
    second = Augmentation(PAPER)
    for seed in reversed(range(30)):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        image, mask = second(*square, seed)
        np.testing.assert_array_equal(image, expected[seed][0])
        np.testing.assert_array_equal(mask, expected[seed][1])
    assert len({image.tobytes() for image, _ in expected}) > 25


def test_transforms_decide_independently_of_each_other(square):
    """Of four ways to flip, each comes up; a seed handed to every transform would leave two."""
    flips = Augmentation({"horizontal_flip": {"p": 0.5}, "vertical_flip": {"p": 0.5}})
    assert len({flips(*square, seed)[1].tobytes() for seed in range(40)}) == 4


def test_inner_transforms_of_the_library_follow_the_state_too(square):
    """`set_random_state` of a Compose must reach whatever is nested in it."""
    nested = albumentations.Compose(
        [
            albumentations.OneOf(
                [albumentations.Sequential([albumentations.Rotate(p=0.9)]), albumentations.ColorJitter()]
            )
        ]
    )

    def changed(seed):
        nested.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return nested(image=square[0], mask=square[1])["image"]

    expected = [changed(seed) for seed in range(10)]
    for seed in range(10):
        np.testing.assert_array_equal(changed(seed), expected[seed])


def test_the_input_stays_as_it_is_and_none_changes_nothing(square):
    before = square[0].copy(), square[1].copy()
    Augmentation(GEOMETRIC | PIXELS)(*square, 0)
    image, mask = Augmentation({})(*square, 0)
    for array, kept in zip((*square, image, mask), before * 2, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize(
    ("transforms", "named"),
    [
        ({"elastic": {"p": 1}}, "augment.elastic is unknown: choose from horizontal_flip"),
        ({"rotation": {"angle": 10}}, "augment.rotation: .*angle"),
        ({"horizontal_flip": {"p": 2}}, "augment.horizontal_flip: .*less than or equal to 1"),
        ({"gaussian_blur": {"p": "often"}}, "augment.gaussian_blur: .*number"),
        ({"rotation": None}, "augment.rotation: .*mapping"),
    ],
)
def test_unknown_transforms_and_options_are_refused_in_one_line(transforms, named):
    with pytest.raises(UserError, match=named) as caught:
        Augmentation(transforms)
    assert "\n" not in str(caught.value)


def test_one_channel_gives_the_grey_levels_of_three_equal_ones():
    rng = np.random.default_rng(0)
    grey, mask = rng.integers(0, 256, (61, 47, 1), dtype=np.uint8), rng.integers(0, 2, (61, 47), dtype=np.uint8)
    augmentation = Augmentation(PAPER)
    for seed in range(60):
        grey_result, its_mask = augmentation(grey, mask, seed)
        three, other_mask = augmentation(np.repeat(grey, 3, axis=2), mask, seed)
        np.testing.assert_array_equal(three, np.broadcast_to(grey_result.reshape(61, 47, 1), three.shape))
        np.testing.assert_array_equal(its_mask, other_mask)
