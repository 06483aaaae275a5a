"""A set of images that lies on the device as a whole, so that no step waits for a copy."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.dataset import BusDataset, Draw, Normalisation


class Keys(Dataset[int | Draw]):
    """Hand every key on as it is; `DeviceBatches` looks the images up.

    Args:
        number: How many images there are.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, key: int | Draw) -> int | Draw:
        """Return the key, a position or (position, seed)."""
        return key


class DeviceBatches:
    """Collate keys into batches of the images of one part, all of them held on a device as uint8.

    Args:
        dataset: The part.
        normalisation: What the images go through.
        augmentation: Random changes, for keys that carry a seed; None where no key does.
        device: Where the images are to lie.
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
        """Make the batch that `Collate` would make of these keys, without waiting for the device."""
        draws = [key if isinstance(key, tuple) else (key, None) for key in keys]
        chosen = self._moved(torch.tensor([position for position, _ in draws]))
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
        truths = [self.dataset.truth(position) for position, _ in draws]
        if truths[0]:
            batch["box"] = torch.stack([truth["box"] for truth in truths])
            batch["full_mask"] = [truth["full_mask"] for truth in truths]
        return batch

    def _moved(self, positions: Tensor) -> Tensor:
        # Only from pinned memory does a copy go on beside the host.
        pinned = positions.pin_memory() if self.labels.is_cuda else positions
        return pinned.to(self.labels.device, non_blocking=True)
