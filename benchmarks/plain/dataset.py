"""A Dataset that decodes and transforms an image each time it is asked for it."""

from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from torch import Tensor
from torch.utils.data import Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def transforms(size: int, augment: bool) -> A.Compose:
    """Resize, augment with the paper's five at the framework's strengths, normalise."""
    steps = [A.Resize(size, size)]
    if augment:
        steps += [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Rotate(limit=15, p=0.5),
            A.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, p=0.5),
            A.GaussianBlur(sigma_limit=(0.5, 1.5), p=0.2),
        ]
    return A.Compose([*steps, A.Normalize(MEAN, STD), ToTensorV2()])


class UltrasoundDataset(Dataset[tuple[Tensor, Tensor]]):
    """The images of a folder `<class>/<name>.png`, with their label or their mask.

    Args:
        root: The folder.
        classes: Names of the classes, in the order of their labels.
        size: Side of the square, in pixels.
        augment: Whether to augment.
        masks: Whether the target is the mask (1, size, size), else the label.
    """

    def __init__(self, root: str, classes: list[str], size: int, augment: bool, masks: bool) -> None:
        self.samples = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((Path(root) / name).glob("*.png"))
            if "_mask" not in path.name
        ]
        self.transform = transforms(size, augment)
        self.masks = masks

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path, label = self.samples[index]
        image = read(path, cv2.IMREAD_COLOR_RGB)
        if not self.masks:
            return self.transform(image=image)["image"], torch.tensor(label)
        masks = [read(file, cv2.IMREAD_GRAYSCALE) for file in path.parent.glob(f"{path.stem}_mask*.png")]
        mask = np.any([np.zeros(image.shape[:2]), *masks], axis=0).astype(np.uint8)
        changed = self.transform(image=image, mask=mask)
        return changed["image"], changed["mask"][None].float()


def read(path: Path, flags: int) -> np.ndarray:
    """Decode an image file into uint8, (H, W, 3) RGB or (H, W) grey by OpenCV's flags."""
    image = cv2.imread(str(path), flags)
    assert image is not None, path
    return image
