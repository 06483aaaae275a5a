"""One number makes the paper's augmentation weaker or stronger, on the CPU and on the device alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation, at_strength
from bus_lightning.data.batch_augment import BatchAugmentation

PAPER = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[2] / "conf/augment/paper.yaml"))
ALWAYS = {name: options | {"p": 1} for name, options in PAPER.items() if "flip" not in name}


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)


def change(image, mask, strength, seeds=range(12)):
    """Measure the mean distance of the images of many seeds from the original, on the CPU and in a batch."""
    transforms = {name: options for name, options in ALWAYS.items() if name != "rotation"} | {"strength": strength}
    single = [Augmentation(transforms)(image, mask, seed)[0].astype(float) for seed in seeds]
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].repeat(len(seeds), 1, 1, 1)
    masks = torch.zeros(len(seeds), 1, 64, 64, dtype=torch.uint8)
    changed = BatchAugmentation(transforms)(batch, masks, list(seeds))[0].permute(0, 2, 3, 1).numpy()
    return [np.abs(np.stack(images) - image.astype(float)).mean() for images in (single, changed)]


def test_more_strength_changes_more_on_both_paths(picture):
    levels = np.array([change(*picture, strength) for strength in (0.25, 0.5, 1, 2)])
    assert (np.diff(levels, axis=0) > 0).all()


def test_strength_zero_changes_nothing_on_both_paths(picture):
    assert change(*picture, 0) == [0, 0]


def test_strength_one_is_the_papers_augmentation_to_the_bit(picture):
    plain, scaled = Augmentation(PAPER), Augmentation(PAPER | {"strength": 1.0})
    for seed in range(20):
        np.testing.assert_array_equal(plain(*picture, seed)[0], scaled(*picture, seed)[0])


def test_strength_scales_degrees_jitter_and_blur_and_leaves_probabilities(picture):
    twice = at_strength(PAPER | {"strength": 2})
    assert twice["rotation"] == {"p": 0.5, "limit": 30}
    assert twice["color_jitter"] == {"p": 0.5, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    assert twice["gaussian_blur"] == {"p": 0.2, "sigma_limit": [1.0, 3.0]}
    assert twice["horizontal_flip"] == PAPER["horizontal_flip"]
    assert PAPER["rotation"]["limit"] == 15


@pytest.mark.parametrize("strength", [-1, "strong", float("inf")])
def test_an_impossible_strength_is_refused_in_one_line(strength):
    with pytest.raises(UserError, match=r"augment\.strength"):
        Augmentation(PAPER | {"strength": strength})


def test_a_range_of_factors_is_refused_with_its_name():
    with pytest.raises(UserError, match=r"augment\.color_jitter\.brightness"):
        Augmentation({"color_jitter": {"p": 1, "brightness": [0.8, 1.2]}, "strength": 0.5})
