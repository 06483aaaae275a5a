"""Keep all images of a part on the device: no training step waits for a copy."""

from typing import Any

import torch
from torch.utils.data import Dataset

from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.dataset import BusDataset, Draw, collate_ground_truth
from bus_lightning.data.normalisation import Normalisation


class Keys(Dataset[int | Draw]):
    """Return every key unchanged; `DeviceBatches` looks up the images."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, key: int | Draw) -> int | Draw:
        """Return the key: a position or (position, seed)."""
        return key


class DeviceBatches:
    """Collate keys into batches of one part, whose images are all kept on a device as uint8.

    Args:
        dataset: The part.
        normalisation: Applied to the images of a batch.
        augmentation: Random changes, for keys with a seed; None if no key has one.
        device: Keeps the images.
    """

    def __init__(
        self,
        dataset: BusDataset,
        normalisation: Normalisation,
        augmentation: BatchAugmentation | None,
        device: torch.device,
    ) -> None:
        self.dataset, self.normalisation, self.augmentation = dataset, normalisation.on(device), augmentation
        size = dataset.preprocessing.size
        images = torch.empty(len(dataset), size, size, max(3, normalisation.channels), dtype=torch.uint8, device=device)
        self.masks = torch.empty(len(dataset), 1, size, size, dtype=torch.uint8, device=device)
        for position in range(len(dataset)):
            image, mask = dataset.square(position)
            images[position], self.masks[position, 0] = torch.from_numpy(image), torch.from_numpy(mask)
        self.images = images.permute(0, 3, 1, 2)
        self.labels = torch.tensor([row.label for row in dataset.rows], device=device)

    def __call__(self, keys: list[int | Draw]) -> dict[str, Any]:
        """Make the batch that `Collate` makes of these keys, without waiting for the device."""
        draws = [key if isinstance(key, tuple) else (key, None) for key in keys]
        positions = torch.tensor([position for position, _ in draws])
        # Only copies from pinned memory do not block the host.
        positions = positions.pin_memory() if self.labels.is_cuda else positions
        chosen = positions.to(self.labels.device, non_blocking=True)
        images, masks = self.images[chosen], self.masks[chosen]
        seeds = [seed for _, seed in draws if seed is not None]
        if seeds and self.augmentation:
            images, masks = self.augmentation(images, masks, seeds)
        batch = {
            "image": self.normalisation(images),
            "mask": masks.float(),
            "label": self.labels[chosen],
            "id": [self.dataset.rows[position].id for position, _ in draws],
        }
        return batch | collate_ground_truth([self.dataset.ground_truth(position) for position, _ in draws])
