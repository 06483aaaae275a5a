"""Corruptions of images: an id decides them, a higher strength is stronger, and a crop cuts the mask alike."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from bus_lightning.data.corrupted import CorruptedDataset
from bus_lightning.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.prepare import prepare_data

LEVELS = [(name, strength) for name in CORRUPTIONS for strength in STRENGTHS]


@pytest.fixture(scope="module")
def pair():
    """A grey picture of edges and texture, wider than high, and the mask of its dark spot."""
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.uniform(30, 220, (180, 240)), (0, 0), 1.5)
    mask = np.zeros(grey.shape, np.uint8)
    cv2.circle(mask, (150, 80), 25, 1, -1)
    grey[mask == 1] *= 0.4
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), mask


@pytest.mark.parametrize(("name", "strength"), LEVELS)
def test_an_id_decides_what_a_corruption_does(pair, name, strength):
    image, mask = pair
    before = image.copy()
    first, masks = corrupt(name, strength, image, [mask], "a")
    again, _ = corrupt(name, strength, image, [mask], "a")
    assert np.array_equal(first, again)
    assert np.array_equal(image, before)
    assert first.dtype == np.uint8
    assert first.shape == (*masks[0].shape, 3)
    assert (first == first[..., :1]).all()  # grey stays grey
    assert (first.shape != image.shape) == (name == "crop")
    others = [corrupt(name, strength, image, [mask], id_)[0] for id_ in "bcdef"]
    is_random = name in ("speckle", "gain", "depth_gain", "crop")
    assert any(not np.array_equal(first, other) for other in others) == is_random


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"crop"}))
def test_a_higher_strength_changes_an_image_more(pair, name):
    image, mask = pair
    changes = [
        np.abs(corrupt(name, strength, image, [mask], "a")[0].astype(int) - image).mean() for strength in STRENGTHS
    ]
    assert changes[0] > 0.3
    assert changes == sorted(changes)
    assert changes[-1] > 1.3 * changes[0]


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("spots", [[(2, 2)], [(237, 177)], [(3, 170), (230, 5)], [(120, 90)]])
def test_a_crop_cuts_image_and_mask_at_one_place_and_keeps_a_part_of_the_lesion(strength, spots):
    mask = np.zeros((180, 240), np.uint8)
    for spot in spots:
        cv2.circle(mask, spot, 6, 1, -1)
    place = np.stack(np.indices(mask.shape), axis=2)
    image = np.dstack([place, mask]).astype(np.uint8)  # each pixel holds its row, its column and its mask
    for id_ in map(str, range(20)):
        cropped, (cut,) = corrupt("crop", strength, image, [mask], id_)
        share = CORRUPTIONS["crop"].values[strength - 1]
        assert cut.shape == (round(180 * share), round(240 * share))
        assert np.array_equal(cropped[..., 2], cut)
        assert cut.any()
        top, left = cropped[0, 0, :2]
        assert np.array_equal(mask[top : top + cut.shape[0], left : left + cut.shape[1]], cut)


def test_a_crop_without_a_lesion_lies_anywhere():
    image = np.dstack([np.indices((180, 240))[0]] * 3).astype(np.uint8)
    tops = [corrupt("crop", 5, image, [np.zeros((180, 240), np.uint8)], str(n))[0][0, 0, 0] for n in range(60)]
    assert min(tops) < 10
    assert max(tops) > 80


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_smallest_images_keep_their_size_and_have_levels(name):
    for shape in ((1, 1), (1, 40), (3, 2)):
        image, mask = np.full((*shape, 3), 100, np.uint8), np.ones(shape, np.uint8)
        corrupted, (cut,) = corrupt(name, 5, image, [mask], "an id")
        assert corrupted.shape[:2] == cut.shape
        assert corrupted.any()


@pytest.mark.parametrize("name", ["gain", "depth_gain", "speckle"])
def test_black_margins_stay_black(pair, name):
    image = pair[0].copy()
    image[:, :40] = 0
    for id_ in "abcdef":
        assert not corrupt(name, 5, image, [pair[1]], id_)[0][:, :40].any()


def test_gain_shifts_grey_levels_by_its_decibels():
    image = np.full((40, 50, 3), 120, np.uint8)
    shifts = {int(corrupt("gain", 5, image, [image[..., 0] * 0], id_)[0][0, 0, 0]) - 120 for id_ in "abcdefgh"}
    assert shifts == {51, -51}  # 12 of 60 dB of 255 levels
    for id_ in "abcdefgh":
        changed = corrupt("depth_gain", 5, image, [image[..., 0] * 0], id_)[0][:, 0, 0].astype(int) - 120
        assert abs(changed[0]) == abs(changed[-1]) == 51
        assert changed[0] == -changed[-1]


@pytest.mark.parametrize("options", [["data.resize=pad"], ["preprocess.denoise=median", "overlay.style=channel"],
                                     ["overlay.style=crop"]])  # fmt: skip
def test_an_image_without_a_corruption_is_the_one_that_was_tested(data_config, options):
    cfg = data_config(*options)
    prepared = prepare_data(cfg.data, needs_masks=True)
    module = BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=True)
    dataset = module.parts["test"]
    clean = CorruptedDataset(dataset, [1, 4, 0])
    assert len(clean) == 3
    for sample, position in zip(clean.__getitems__([0, 1, 2]), [1, 4, 0], strict=True):
        expected = dataset[position]
        assert sample.keys() == expected.keys()
        assert sample["id"] == expected["id"]
        for key in ("image", "mask", "box", "full_mask"):
            assert np.array_equal(sample[key], expected[key]), key


def test_a_corrupted_sample_has_the_cropped_ground_truth(data_config):
    cfg = data_config()
    prepared = prepare_data(cfg.data, needs_masks=True)
    module = BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=True)
    dataset = module.parts["test"]
    position = next(k for k, row in enumerate(dataset.rows) if row.masks)
    row = dataset.rows[position]
    image = read_image(dataset.root / row.image)
    expected, (mask,) = corrupt("crop", 4, image, [read_mask(dataset.root, row.masks, image.shape[:2])], row.id)
    sample = CorruptedDataset(dataset, [position], "crop", 4)[0]
    assert np.array_equal(sample["full_mask"], mask)
    assert np.array_equal(sample["mask"], dataset.preprocessing.fit(mask, is_mask=True))
    fitted = dataset.preprocessing.fit(expected)
    assert np.array_equal(np.broadcast_to(sample["image"], fitted.shape), fitted)


def test_the_documentation_and_the_options_name_every_corruption_and_its_values():
    root = Path(__file__).parents[2]
    documented = (root / "docs" / "runs.md").read_text()
    rows = {cells[1].strip(" `"): cells[3:8] for line in documented.splitlines() if len(cells := line.split("|")) == 9}
    for name, corruption in CORRUPTIONS.items():
        assert tuple(map(float, rows[name])) == corruption.values
    options = OmegaConf.load(root / "conf" / "evaluate.yaml").robustness_options
    assert (tuple(options.corruptions), tuple(options.strengths)) == (tuple(CORRUPTIONS), STRENGTHS)
