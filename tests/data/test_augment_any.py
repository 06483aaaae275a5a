"""Any transform of albumentations is an augmentation, with its own random numbers; lesions stay whole in crops."""

from pathlib import Path

import numpy as np
import pytest
from composing import compose_run
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.batch_augment import BatchAugmentation

ROOT = Path(__file__).parents[2]
PAPER = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/augment/paper.yaml"))
NOISE = {"noise": {"_target_": "albumentations.GaussNoise", "p": 1.0}}
CROP = {"lesion_crop": {"p": 1.0, "height": 96, "width": 96}}


@pytest.fixture
def speckle():
    """An image whose pixels all differ from their neighbours, and a mask with two lesions."""
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    mask = np.zeros((96, 96), np.uint8)
    mask[20:40, 30:50] = mask[60:64, 70:75] = 1
    return image, mask


def group(name):
    cfg = compose_run([f"augment={name}", "data.size=96"], "data", "cache", "runs")
    return OmegaConf.to_container(cfg, resolve=True)["augment"]


@pytest.mark.parametrize("name", ["affine", "lesion_crop", "trivial"])
def test_the_seed_alone_decides_every_group(name, speckle):
    transforms = group(name)
    first = Augmentation(transforms)
    expected = [first(*speckle, seed) for seed in range(40)]
    assert len({image.tobytes() for image, _ in expected}) > 30
    second = Augmentation(transforms)
    for seed in reversed(range(40)):
        np.random.seed(seed)
        image, mask = second(*speckle, seed)
        np.testing.assert_array_equal(image, expected[seed][0])
        np.testing.assert_array_equal(mask, expected[seed][1])
        assert image.shape == (96, 96, 3)
        assert mask.shape == (96, 96)
        assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize("name", ["affine", "lesion_crop", "trivial"])
def test_image_and_mask_move_together_in_every_group(name):
    mask = np.zeros((96, 96), np.uint8)
    mask[30:60, 40:60] = 1
    image = np.repeat(mask[..., None] * 200, 3, axis=2)
    transforms = {
        key: value for key, value in group(name).items() if key in ("horizontal_flip", "affine", "lesion_crop")
    }
    if name == "trivial":
        chosen = [each for each in group(name)["trivial"]["transforms"] if each["_target_"].endswith("Affine")]
        transforms = {"trivial": group(name)["trivial"] | {"transforms": chosen}}
    augmentation = Augmentation(transforms)
    moved = 0
    for seed in range(40):
        changed, moved_mask = augmentation(image, mask, seed)
        moved += (moved_mask != mask).any()
        assert ((changed[..., 0] > 100) != moved_mask).sum() < 0.1 * moved_mask.sum()  # an edge's interpolation
    assert moved > 20


def test_a_transform_has_its_own_random_numbers_so_the_others_stay_as_they_are(speckle):
    mirror = {"mirror": {"_target_": "albumentations.HorizontalFlip", "p": 0.5}}
    alone, after = Augmentation(mirror), Augmentation(PAPER | NOISE | mirror)
    paper, before = Augmentation(PAPER), Augmentation(NOISE | PAPER)
    flipped = []
    for seed in range(20):
        alone_mask = alone(*speckle, seed)[1]
        flipped.append((alone_mask != speckle[1]).any())
        paper_mask = paper(*speckle, seed)[1]
        np.testing.assert_array_equal(before(*speckle, seed)[1], paper_mask)
        expected = paper_mask[:, ::-1] if flipped[-1] else paper_mask
        np.testing.assert_array_equal(after(*speckle, seed)[1], expected)
    assert 0 < sum(flipped) < 20


def test_two_equal_transforms_of_different_names_draw_different_numbers(speckle):
    image, mask = np.full_like(speckle[0], 128), speckle[1]
    noise = {"_target_": "albumentations.GaussNoise", "p": 1.0}
    first, _ = Augmentation({"first": noise})(image, mask, 7)
    second, _ = Augmentation({"second": noise})(image, mask, 7)
    assert (first != second).any()


def test_a_crop_keeps_every_lesion_whole():
    mask = np.zeros((96, 96), np.uint8)
    mask[20:40, 30:50], mask[60:64, 70:75] = 1, 1
    # Four corners of the two lesions: a crop that loses one loses its value.
    corners = np.zeros((96, 96, 3), np.uint8)
    for value, (y, x) in enumerate([(20, 30), (39, 49), (60, 70), (63, 74)], start=1):
        corners[y, x] = 50 * value
    crop = Augmentation({"lesion_crop": CROP["lesion_crop"] | {"interpolation": 0}})
    sizes = set()
    for seed in range(60):
        image, cropped = crop(corners, mask, seed)
        assert {50, 100, 150, 200} <= set(np.unique(image))
        sizes.add(int(cropped.sum()))
    assert len(sizes) > 30


def test_a_crop_leaves_an_image_without_a_lesion_whole(speckle):
    empty = np.zeros((96, 96), np.uint8)
    image, mask = Augmentation(CROP)(speckle[0], empty, 3)
    np.testing.assert_array_equal(image, speckle[0])
    assert not mask.any()


def test_a_mask_channel_is_changed_like_the_mask(speckle):
    image = np.dstack([speckle[0], speckle[1]])
    for name in ("lesion_crop", "trivial"):
        augmentation = Augmentation(group(name))
        for seed in range(20):
            changed, mask = augmentation(image, speckle[1], seed)
            np.testing.assert_array_equal(changed[..., 3], mask)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"_target_": "albumentations.Noise"}, "augment.mine.*albumentations.Noise"),
        ({"_target_": "albumentations.GaussNoise", "sigma": 1}, "augment.mine.*sigma"),
        ({"_target_": "albumentations.GaussNoise", "p": 3}, "augment.mine.*less than or equal to 1"),
        ({"_target_": "pathlib.Path"}, "augment.mine .pathlib.Path. makes a PosixPath, which is not a transform"),
    ],
)
def test_what_is_not_a_transform_is_refused_in_one_line(options, named):
    with pytest.raises(UserError, match=named) as caught:
        Augmentation({"mine": options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("transforms", [NOISE, CROP, {"rotation": {"_target_": "albumentations.Rotate"}}])
def test_transforms_of_the_library_are_refused_on_a_device(transforms):
    with pytest.raises(UserError, match="needs the CPU"):
        BatchAugmentation(transforms)
