"""The batch on its device gets the pictures, the distributions and the defaults of the CPU path."""

import pytest
import torch
from batch_changes import ALWAYS, FLIPS, PAPER, STILL, all_at_once, assert_same, draw_batch, draw_ultrasound, one_by_one
from torch.nn import functional as F


@pytest.fixture
def batch():
    return draw_batch()


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
