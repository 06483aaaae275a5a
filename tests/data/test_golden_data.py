"""Splits, augmentation and the probe for labels, compared with values computed by hand or by another method."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from bus_lightning.config.split_options import PARTS, shares
from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation, at_strength
from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.normalisation import grey
from bus_lightning.data.splits import check_disjoint, make_named_split
from bus_lightning.data.splitting import make_split

COUNTS = {"benign": 46, "malignant": 31, "normal": 17}
FRAME = pd.DataFrame(
    [{"id": f"{kind}/{kind} ({n})", "class": kind} for kind in COUNTS for n in range(1, COUNTS[kind] + 1)]
)
PAIRS = {id_: n // 2 for n, id_ in enumerate(FRAME["id"])}
# These names stand in the folders of finished runs: the same options must always give the same images.
GOLDEN = {
    "two parts": ({"ratio": [12, 3]}, "4ed13864afa70353"),
    "seed": ({"ratio": [7, 2, 2], "seed": 5}, "05f483ff646a4b38"),
    "validation from training": ({"ratio": [12, 3], "val_from_train": 3}, "183f784b074ab4e9"),
    "fold": ({"ratio": [7, 2, 2], "folds": 4, "fold": 2}, "01e459fc9b4023e6"),
    "last fold": ({"ratio": [7, 2, 2], "folds": 4, "fold": 3, "method": "stratified"}, "66b6781ef82f3346"),
    "cross-fitting": ({"ratio": [7, 2, 2], "cross_folds": 3, "cross_fold": 1}, "016b3f3082447cb8"),
    "last of cross-fitting": (
        {"ratio": [7, 2, 2], "cross_folds": 3, "cross_fold": 2, "method": "random"},
        "4578704156c31efe",
    ),
    "cross-fitting in a fold": (
        {"ratio": [7, 2, 2], "folds": 4, "fold": 0, "cross_folds": 2, "cross_fold": 0, "seed": 1},
        "0a6aa72864a258f4",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_same_options_give_the_same_images_on_every_machine(name):
    options, hash_ = GOLDEN[name]
    assert make_split(FRAME, PAIRS, **options).hash == hash_


@pytest.mark.parametrize("cross_folds", [2, 3, 5])
def test_cross_fitting_divides_the_training_images_of_the_whole_split_and_nothing_else(cross_folds):
    whole = make_split(FRAME, PAIRS, seed=2, ratio=[7, 2, 2])
    made = [
        make_split(FRAME, PAIRS, seed=2, ratio=[7, 2, 2], cross_folds=cross_folds, cross_fold=k)
        for k in range(cross_folds)
    ]
    assert sorted(id_ for split in made for id_ in split.test) == whole.train
    for split in made:
        assert sorted(split.train + split.test) == whole.train
        assert split.val == whole.val
        assert not {PAIRS[id_] for id_ in split.train} & {PAIRS[id_] for id_ in split.test}
        assert len(split.test) == pytest.approx(len(whole.train) / cross_folds, abs=4)
        for kind in COUNTS:
            share = sum(id_.startswith(kind) for id_ in split.test) / sum(id_.startswith(kind) for id_ in whole.train)
            assert share == pytest.approx(1 / cross_folds, abs=0.12)


def test_quotas_are_rounded_to_the_nearest_image_and_each_class_has_its_own():
    split = make_split(FRAME, PAIRS, "stratified", ratio=[7, 1, 2])
    held = {part: [sum(i.startswith(kind) for i in split.part(part)) for kind in COUNTS] for part in PARTS}
    assert held["test"] == [9, 6, 3]  # 9.2, 6.2 and 3.4
    assert held["val"] == [5, 3, 2]  # an eighth of what is left: 4.6, 3.1 and 1.8
    assert held["train"] == [32, 22, 12]
    mixed = make_split(FRAME, PAIRS, "random", ratio=[7, 1, 2])
    assert [len(mixed.part(part)) for part in PARTS] == [66, 9, 19]  # 18.8, and an eighth of 75


def test_a_ratio_is_read_as_parts_of_training_validation_and_test():
    assert shares([11, 1, 3]) == (11, 1, 3)
    assert shares([12, 3]) == (12, 0, 3)
    assert shares([12, 3], 4) == (8, 4, 3)
    assert shares([12, 2, 3], 11) == (1, 13, 3)
    for wrong in ([12, 2, 3], 12), ([0, 1, 3], 0), ([12, 0], 0), ([3], 0), ([1, 1, 1, 1], 0), ([-1, 3], 0):
        with pytest.raises(UserError):
            shares(*wrong)
    with pytest.raises(UserError):
        shares([12, 3], -1)


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "test"), ("val", "test")])
def test_neither_an_image_nor_a_group_is_in_two_parts(parts):
    ids = FRAME["id"].tolist()
    lists = {"train": ids[0:2], "val": ids[2:4], "test": ids[4:6]}
    alone = {id_: n for n, id_ in enumerate(ids)}
    check_disjoint(make_named_split(lists, "file", alone))
    first, second = parts
    twice = lists | {second: [*lists[second], lists[first][0]]}
    with pytest.raises(UserError, match=r"in two parts of the split \(1 such images\)"):
        make_named_split(twice, "file", alone)
    shared_group = alone | {lists[second][0]: alone[lists[first][1]]}
    with pytest.raises(UserError, match="divides near-duplicates"):
        make_named_split(lists, "grouped", shared_group)


def test_a_warning_counts_the_held_out_images_with_a_near_duplicate_in_training(caplog):
    ids = FRAME["id"].tolist()
    lists = {"train": ids[:4], "val": ids[4:7], "test": ids[7:12]}
    groups = {id_: n for n, id_ in enumerate(ids)} | {ids[5]: 0, ids[8]: 1, ids[9]: 1, ids[6]: 11}
    make_named_split(lists, "random", groups)
    assert "3 of 8 held-out images" in caplog.text


@pytest.fixture
def picture():
    """A picture without any symmetry, whose sides differ, and its mask."""
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (40, 56, 3)).astype(np.uint8), (0, 0), 2)
    mask = np.zeros((40, 56), np.uint8)
    mask[5:17, 8:31] = 1
    return image, mask


MOVES = {"horizontal_flip": {"p": 1}, "vertical_flip": {"p": 0.5}, "rotation": {"p": 1, "limit": 40}}


def test_a_mask_in_the_fourth_channel_moves_as_the_lesion_does_and_keeps_its_levels(picture):
    image, mask = picture
    four = np.dstack([image, 255 * mask])
    for seed in range(6):
        changed, moved = Augmentation(MOVES | {"color_jitter": {"p": 1, "brightness": 0.3}})(four, mask, seed)
        assert changed.shape == (40, 56, 4)
        assert np.array_equal(changed[..., 3], 255 * moved)
        assert not np.array_equal(moved, mask)
        plain, plainly = Augmentation(MOVES | {"color_jitter": {"p": 1, "brightness": 0.3}})(image, mask, seed)
        assert np.array_equal(changed[..., :3], plain)
        assert np.array_equal(moved, plainly)
    images = torch.from_numpy(four).permute(2, 0, 1)[None].repeat(6, 1, 1, 1)
    masks = torch.from_numpy(mask)[None, None].repeat(6, 1, 1, 1)
    batch = BatchAugmentation(MOVES | {"color_jitter": {"p": 1, "brightness": 0.3}})
    changed, moved = batch(images, masks, range(6))
    assert torch.equal(changed[:, 3:], 255 * moved)
    plain, plainly = batch(images[:, :3], masks, range(6))
    assert torch.equal(changed[:, :3], plain)
    assert torch.equal(moved, plainly)


def test_strength_multiplies_numbers_and_both_ends_of_a_range():
    options = {"strength": 0.5, "rotation": {"p": 0.3, "limit": [-10, 30]}, "horizontal_flip": {"p": 0.5},
               "gaussian_blur": {"p": 1, "sigma_limit": [1, 4]},
               "color_jitter": {"p": 1, "brightness": 0.4, "hue": 0.1}}  # fmt: skip
    assert at_strength(options) == {
        "rotation": {"p": 0.3, "limit": [-5, 15]}, "gaussian_blur": {"p": 1, "sigma_limit": [0.5, 2]},
        "color_jitter": {"p": 1, "brightness": 0.2, "hue": 0.05}, "horizontal_flip": {"p": 0.5},
    }  # fmt: skip
    assert at_strength({"strength": 0, "rotation": {"limit": 30}}) == {"rotation": {"limit": 0}}
    for wrong in (-0.1, float("inf"), float("nan"), True, "2"):
        if wrong is not True:  # equal to 1
            with pytest.raises(UserError, match="at least 0"):
                at_strength({"strength": wrong, "rotation": {"limit": 30}})


def test_grey_weighs_the_colours_as_opencv_does(picture):
    image, _ = picture
    result = grey(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0, 0]
    assert (result - torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).float()).abs().max() <= 0.51


@pytest.mark.parametrize("angle", [25, -60])
def test_a_turn_of_a_batch_is_that_of_an_affine_map_where_the_sides_differ(picture, angle):
    image, mask = picture
    images, masks = torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(mask)[None, None]
    result, moved = BatchAugmentation({"rotation": {"p": 1, "limit": [angle, angle]}})(images, masks, [3])
    centre = ((56 - 1) / 2, (40 - 1) / 2)
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D(centre, angle, 1), (56, 40))
    away = (result[0].permute(1, 2, 0).int() - torch.from_numpy(turned).int()).abs()
    assert away.float().mean() < 1.5
    expected = cv2.warpAffine(mask, cv2.getRotationMatrix2D(centre, angle, 1), (56, 40), flags=cv2.INTER_NEAREST)
    assert (moved[0, 0].numpy() != expected).sum() < 0.1 * mask.sum()


def test_a_blur_is_a_gaussian_of_the_chosen_width_mirrored_at_the_borders(picture):
    image, mask = picture
    images, masks = torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(mask)[None, None]
    result, kept = BatchAugmentation({"gaussian_blur": {"p": 1, "sigma_limit": [1.5, 1.5]}})(images, masks, [0])
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    expected = cv2.sepFilter2D(
        image.astype(np.float64), -1, taps / taps.sum(), taps / taps.sum(), borderType=cv2.BORDER_REFLECT_101
    )
    assert (result[0].permute(1, 2, 0).numpy() - expected).max() < 0.51
    assert torch.equal(kept, masks)
    narrow, _ = BatchAugmentation({"gaussian_blur": {"p": 1, "sigma_limit": [0.5, 4]}})(
        images.repeat(30, 1, 1, 1), masks.repeat(30, 1, 1, 1), range(30)
    )
    rough = (narrow[..., 1:].float() - narrow[..., :-1].float()).abs().mean((1, 2, 3))
    assert rough.min() < 0.5 * rough.max()  # each has its own width
    assert F.mse_loss(narrow.float().mean((2, 3)), images.float().mean((2, 3)).expand(30, 3)) < 9
