"""The batch on its device is changed as image by image on the CPU: the same options, the same distributions."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bus_lightning.core.errors import UserError
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.batch_augment import BatchAugmentation

PAPER = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[2] / "conf/augment/paper.yaml"))
ALWAYS = {name: options | {"p": 1} for name, options in PAPER.items()}
FLIPS = {name: {"p": 0.5} for name in ("horizontal_flip", "vertical_flip")}
STILL = {"p": 1, "brightness": [1, 1], "contrast": [1, 1], "saturation": [1, 1], "hue": [0, 0]}


def draw_ultrasound(coloured, height=48, width=64):
    """Speckle with a dark lesion, a deep shadow and a white caption: (3, H, W) and (1, H, W) uint8."""
    rng = np.random.default_rng(7)
    speckle = 130 + 90 * cv2.GaussianBlur(rng.standard_normal((height, width, 3)), (0, 0), 1.5)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (23, 29), (11, 6), 20, 0, 360, 1, -1)
    speckle[mask == 1] *= 0.3
    speckle[-8:] *= 0.1
    image = speckle.clip(0, 255).astype(np.uint8)
    cv2.putText(image, "R 10 H", (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    if not coloured:
        image[...] = image[..., :1]
    return torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(mask)[None]


@pytest.fixture
def batch():
    pairs = [draw_ultrasound(coloured) for coloured in (True, False) * 4]
    images, masks = (torch.stack(part) for part in zip(*pairs, strict=True))
    images[2:4] = images[2:4].flip(3)  # neighbours that differ
    masks[2:4] = masks[2:4].flip(3)
    return images, masks


def one_by_one(transforms, image, mask, seeds):
    """What the CPU path makes of one image: (N, 3, H, W) and (N, 1, H, W)."""
    augmentation = Augmentation(transforms)
    image, mask = image.permute(1, 2, 0).contiguous().numpy(), mask[0].numpy()
    pairs = [augmentation(image, mask, seed) for seed in seeds]
    images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    return images.permute(0, 3, 1, 2), masks[:, None]


def all_at_once(transforms, image, mask, seeds):
    return BatchAugmentation(transforms)(image.repeat(len(seeds), 1, 1, 1), mask.repeat(len(seeds), 1, 1, 1), seeds)


def assert_same(pair, expected):
    for tensor, other in zip(pair, expected, strict=True):
        assert tensor.dtype == torch.uint8
        assert torch.equal(tensor, other)


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


@pytest.mark.parametrize(
    ("transforms", "mean", "most"),
    [
        *[({name: {"p": 1}}, 0.01, 0) for name in FLIPS],
        *[({"rotation": {"p": 1, "limit": [angle, angle]}}, 0.01, 1) for angle in (30, -11, 90)],
        ({"horizontal_flip": {"p": 1}, "rotation": {"p": 1, "limit": [30, 30]}}, 0.01, 1),
        # Colours may differ as much as the CPU path is coarse: it cuts off the decimals of brightness and contrast
        # where this path rounds, and has only 180 hues and 256 saturations.
        *[({"color_jitter": STILL | {"brightness": [factor, factor]}}, 0.6, 1) for factor in (0.7, 1.3)],
        *[({"color_jitter": STILL | {"contrast": [factor, factor]}}, 0.6, 1) for factor in (0.7, 1.3)],
        *[({"color_jitter": STILL | {"saturation": [factor, factor]}}, 0.15, 1) for factor in (0.6, 1.4)],
        *[({"color_jitter": STILL | {"hue": [turn, turn]}}, 0.7, 6) for turn in (0.1, -0.2)],
        *[({"gaussian_blur": {"p": 1, "sigma_limit": [sigma, sigma]}}, 0.01, 1) for sigma in (0.4, 0.6, 1, 1.5, 3)],
    ],
)
def test_a_given_strength_gives_the_picture_of_the_cpu_path(transforms, mean, most, batch):
    image, mask = batch[0][0], batch[1][0]
    expected, expected_mask = one_by_one(transforms, image, mask, [0])
    images, masks = all_at_once(transforms, image, mask, [0])
    difference = (images.int() - expected.int()).abs()
    assert (expected != image).any()
    assert difference.float().mean() < mean
    assert difference.max() <= most
    assert torch.equal(masks, expected_mask)


def moments(images, masks):
    """Measure each image and mask: name -> (N,) float64."""
    pixels, area = images.double(), masks.double().sum((1, 2, 3))
    laplacian = F.conv2d(pixels.mean(1, keepdim=True), torch.tensor([[[[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]]]).double())
    height, width = masks.shape[2:]
    y, x = torch.arange(height).double()[:, None], torch.arange(width).double()
    named = {
        "mean": pixels.mean((1, 2, 3)),
        "deviation": pixels.std((1, 2, 3)),
        "white": (pixels > 250).double().mean((1, 2, 3)),
        "black": (pixels == 0).double().mean((1, 2, 3)),
        "chroma": (pixels.amax(1) - pixels.amin(1)).mean((1, 2)),
        "warmth": (pixels[:, 0] - pixels[:, 2])[:, 8:].mean((1, 2)),
        "detail": laplacian.var((1, 2, 3)).log(),
        "area": area,
        "x": (masks * x).sum((1, 2, 3)) / area,
        "y": (masks * y).sum((1, 2, 3)) / area,
    }
    halves = [slice(0, height // 2), slice(height // 2, None)], [slice(0, width // 2), slice(width // 2, None)]
    quadrants = {f"{rows}{columns}": masks[:, 0, halves[0][rows], halves[1][columns]].flatten(1).any(1).double()
                 for rows in (0, 1) for columns in (0, 1)}  # fmt: skip
    return named | quadrants


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize(
    "transforms",
    [FLIPS, *({name: ALWAYS[name]} for name in PAPER if name not in FLIPS), PAPER],
    ids=["flips", "rotation", "color_jitter", "gaussian_blur", "all"],
)
def test_moments_are_those_of_the_cpu_path(transforms, coloured):
    """Means, and variances about the common mean, over 500 seeds: within four standard errors."""
    image, mask = draw_ultrasound(coloured)
    batch_moments, image_moments = (
        moments(*path(transforms, image, mask, range(500))) for path in (all_at_once, one_by_one)
    )
    for name, values in batch_moments.items():
        centre = torch.cat([values, image_moments[name]]).mean()
        # The CPU path cuts off the decimals of brightness and of contrast: half a grey value each time.
        bias = 1 if name == "mean" and "color_jitter" in transforms else 1e-6
        for power in (1, 2):
            a, b = ((part - centre) ** power for part in (values, image_moments[name]))
            error = ((a.var() + b.var()) / len(a)).sqrt()
            assert (a.mean() - b.mean()).abs() < 4 * error + bias, (name, power)


@pytest.mark.parametrize("name", PAPER)
def test_each_is_applied_as_often_as_its_probability_says(name):
    image, mask = draw_ultrasound(coloured=True)
    image, mask = image[:, 8:20, 8:20], mask[:, 8:20, 8:20]
    for p in (0.2, 0.5):
        images, _ = all_at_once({name: PAPER[name] | {"p": p}}, image, mask, range(2000))
        share = (images != image).flatten(1).any(1).double().mean()
        assert abs(share - p) < 4 * (p * (1 - p) / 2000) ** 0.5 + 0.01  # an angle of almost nothing


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


def test_defaults_are_those_of_the_cpu_path():
    bare = {name: {} for name in PAPER}
    full = {
        "horizontal_flip": {"p": 0.5},
        "vertical_flip": {"p": 0.5},
        "rotation": {"p": 0.5, "limit": [-90, 90]},
        "color_jitter": {
            "p": 0.5, "brightness": [0.8, 1.2], "contrast": [0.8, 1.2], "saturation": [0.8, 1.2], "hue": [-0.5, 0.5]
        },
        "gaussian_blur": {"p": 0.5, "sigma_limit": [0.5, 3]},
    }  # fmt: skip
    pair = draw_ultrasound(coloured=True)
    assert_same(all_at_once(bare, *pair, range(20)), all_at_once(full, *pair, range(20)))


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
