"""The batch on its device is changed by the seed alone, image and mask together, and nothing waits for the device."""

import random

import numpy as np
import pytest
import torch
from batch_changes import ALWAYS, FLIPS, PAPER, STILL, all_at_once, assert_same, draw_batch
from torch.utils._python_dispatch import TorchDispatchMode

from bus_lightning.core.errors import UserError
from bus_lightning.data.batch_augment import BatchAugmentation


@pytest.fixture
def batch():
    return draw_batch()


def test_the_seed_alone_decides(batch):
    """The other images of the batch, the place in it, other calls and global generators change nothing."""
    seeds = list(range(8))
    expected = BatchAugmentation(PAPER)(*batch, seeds)
    assert len({image.numpy().tobytes() for image in expected[0]}) == 8
    other = BatchAugmentation(PAPER)
    for kept in (torch.tensor([5, 0, 3]), torch.arange(7, -1, -1), *torch.arange(8)[:, None]):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        assert_same(other(batch[0][kept], batch[1][kept], kept.tolist()), (expected[0][kept], expected[1][kept]))


def test_memory_format_and_autocast_change_nothing(batch):
    images, masks = batch
    expected = BatchAugmentation(ALWAYS)(images, masks, range(8))
    assert_same(BatchAugmentation(ALWAYS)(images.to(memory_format=torch.channels_last), masks, range(8)), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(BatchAugmentation(ALWAYS)(images, masks, range(8)), expected)


@pytest.mark.parametrize("name", PAPER)
def test_leaving_out_transforms_does_not_change_the_others(name, batch):
    """An ablation then changes only what it leaves out."""
    never = {other: options | {"p": 0} for other, options in PAPER.items()}
    expected = BatchAugmentation(never | {name: ALWAYS[name]})(*batch, range(8))
    assert_same(BatchAugmentation({name: ALWAYS[name]})(*batch, range(8)), expected)


def test_flips_are_exact_to_the_pixel(batch):
    image, mask = batch[0][0], batch[1][0]
    for name, dim in {"horizontal_flip": 2, "vertical_flip": 1}.items():
        images, masks = all_at_once({name: {"p": 1}}, image, mask, [0])
        assert_same((images[0], masks[0]), (image.flip(dim), mask.flip(dim)))
    white, full = torch.full((3, 223, 225), 255, dtype=torch.uint8), torch.ones(1, 223, 225, dtype=torch.uint8)
    assert_same(all_at_once(FLIPS, white, full, range(9)), (white.expand(9, -1, -1, -1), full.expand(9, -1, -1, -1)))


def test_transforms_decide_independently_of_each_other(batch):
    """Of four ways to flip, each comes up."""
    _, masks = all_at_once(FLIPS, batch[0][0], batch[1][0], range(40))
    assert len({mask.numpy().tobytes() for mask in masks}) == 4


def test_image_and_mask_move_together():
    square = torch.zeros(1, 96, 128, dtype=torch.uint8)
    square[:, 20:50, 40:60] = 1
    transforms = {**FLIPS, "rotation": {"p": 1, "limit": 40}}
    images, masks = all_at_once(transforms, 200 * square.expand(3, -1, -1), square, range(20))
    assert masks.unique().tolist() == [0, 1]
    assert (masks != square).flatten(1).any(1).all()
    assert ((images[:, :1] > 100) != masks).sum() < 0.06 * masks.sum()  # an edge's interpolation


def test_pixel_changes_leave_the_mask_alone(batch):
    for name in ("color_jitter", "gaussian_blur"):
        images, masks = BatchAugmentation({name: ALWAYS[name]})(*batch, range(8))
        assert (images != batch[0]).any()
        assert torch.equal(masks, batch[1])


def test_what_a_rotation_uncovers_is_black_and_no_lesion():
    white = torch.full((3, 64, 64), 255, dtype=torch.uint8), torch.ones(1, 64, 64, dtype=torch.uint8)
    for pixels in all_at_once({"rotation": {"p": 1, "limit": [45, 45]}}, *white, [0]):
        assert not pixels[..., 0, 0].any()
        assert pixels[..., 32, 32].all()


@pytest.mark.parametrize("transforms", [{}, *({name: options | {"p": 0}} for name, options in PAPER.items())])
def test_what_is_not_chosen_changes_nothing(transforms, batch):
    assert_same(BatchAugmentation(transforms)(*batch, range(8)), batch)


def test_a_skipped_image_stays_unchanged_in_a_batch_of_changed_ones(batch):
    seldom = {name: options | {"p": 0.3} for name, options in PAPER.items()}
    images, _ = BatchAugmentation(seldom)(*batch, range(8))
    kept = (images == batch[0]).flatten(1).all(1)
    assert kept.any()
    assert not kept.all()


def test_the_input_stays_as_it_is(batch):
    before = [part.clone() for part in batch]
    BatchAugmentation(ALWAYS)(*batch, range(8))
    assert_same(batch, before)


def test_grey_stays_grey(batch):
    images, _ = BatchAugmentation({"color_jitter": STILL | {"saturation": 0.9, "hue": 0.5}})(*batch, range(8))
    assert torch.equal(images[1::2], batch[0][1::2])
    assert (images[::2] != batch[0][::2]).flatten(1).any(1).all()


def test_nothing_is_asked_of_the_device(batch):
    """One tensor goes to the device, and no operation reads a value back."""
    seen = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            seen.append(str(operation))
            return operation(*args, **(kwargs or {}))

    augmentation = BatchAugmentation(PAPER)
    with Record():
        augmentation(*batch, range(8))
    assert not {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.index.Tensor"} & set(seen)
    assert seen.count("aten.lift_fresh.default") == 1  # what becomes a tensor from outside torch


@pytest.mark.parametrize(
    ("transforms", "named"),
    [
        ({"elastic": {"p": 1}}, "augment.elastic is unknown: choose from horizontal_flip"),
        ({"rotation": {"angle": 10}}, "augment.rotation: .*angle"),
        ({"horizontal_flip": {"p": 2}}, "augment.horizontal_flip: .*less than or equal to 1"),
        ({"rotation": None}, "augment.rotation: .*mapping"),
        ({"rotation": {"fill": 9}}, "augment.rotation: fill needs the CPU: .* data.on_device=false"),
        ({"gaussian_blur": {"blur_limit": 3}}, "augment.gaussian_blur: blur_limit .* data.on_device=false"),
        ({"gaussian_blur": {"p": 1}, "rotation": {"p": 1}}, "augment: use the order .* data.on_device=false"),
    ],
)
def test_unknown_and_impossible_transforms_are_refused_in_one_line(transforms, named):
    with pytest.raises(UserError, match=named) as caught:
        BatchAugmentation(transforms)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # it says that it is a prototype
def test_a_gpu_gives_what_the_cpu_gives_and_is_never_waited_for(batch):
    augmentation, on_gpu = BatchAugmentation(PAPER), [part.cuda() for part in batch]
    expected = augmentation(*batch, range(8))
    augmentation(*on_gpu, range(8))  # the first call loads what it needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        images, masks = augmentation(*on_gpu, range(8))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert images.is_cuda
    assert masks.is_cuda
    assert ((images.cpu().int() - expected[0].int()).abs() > 1).float().mean() < 1e-3
    assert (masks.cpu() != expected[1]).float().mean() < 1e-3


@pytest.mark.gpu
def test_flips_are_exact_where_matrices_are_multiplied_in_tf32(batch):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        images, masks = BatchAugmentation(FLIPS)(*(part.cuda() for part in batch), range(8))
    finally:
        torch.set_float32_matmul_precision(before)
    assert_same((images.cpu(), masks.cpu()), BatchAugmentation(FLIPS)(*batch, range(8)))
