"""An ultrasound image to augment, one by one on the CPU and all at once."""

from pathlib import Path

import cv2
import numpy as np
import torch
from omegaconf import OmegaConf

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


def draw_batch():
    """Draw eight such images and masks: (8, 3, H, W) and (8, 1, H, W) uint8."""
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
