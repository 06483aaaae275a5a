"""One image, decoded once, as the tensors that a network sees; and the order in which an epoch takes them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from bus_lightning.data.augment import Augmentation
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.randomness import stable_hash

Draw = tuple[int, int]  # position of an image, seed of its augmentation


class BusDataset(Dataset[dict[str, Any]]):
    """The images of one part of a split.

    Decoded, cleaned, resized and drawn upon once, then kept in memory as uint8.

    Args:
        root: The data folder.
        frame: Rows of the index, one per image of the part.
        part: `train`, `val` or `test`: decides who is cleaned and drawn upon.
        preprocessing: How to clean and resize.
        overlay: The label drawn into the image.
        mean, std: Per channel, for inputs in [0, 1].
        channels: 3, or 1 for grey.
        augmentation: Random changes, for keys that carry a seed.
        full_masks: Also return the mask at the image's own resolution, which metrics are counted at.
    """

    def __init__(
        self,
        root: Path,
        frame: pd.DataFrame,
        part: str,
        preprocessing: Preprocessing,
        overlay: Overlay,
        mean: Sequence[float],
        std: Sequence[float],
        channels: int = 3,
        augmentation: Augmentation | None = None,
        full_masks: bool = False,
    ) -> None:
        self.root, self.part, self.channels = root, part, channels
        self.rows: list[Any] = list(frame.rename(columns={"class": "class_name"}).itertuples(index=False))
        self.preprocessing, self.overlay = preprocessing, overlay
        self.augmentation, self.full_masks = augmentation, full_masks
        select = slice(None) if channels == 3 else slice(0, 1)
        self._scale = (1 / (255 * np.array(std, np.float32)))[select]
        self._shift = (np.array(mean, np.float32) / np.array(std, np.float32))[select]
        self._cache: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | Draw) -> dict[str, Any]:
        """Return one sample.

        Args:
            key: A position, or (position, seed) to augment.

        Returns:
            `image` (C, size, size) float32, `mask` (1, size, size) float32 in {0, 1}, `label` int, `id` str; and for
            evaluation `box` (4,) int64, where the image lies in the square, and `full_mask` (H, W) uint8.
        """
        position, seed = key if isinstance(key, tuple) else (key, None)
        row = self.rows[position]
        kept = self._kept(position)
        image, mask = kept["image"], kept["mask"]
        if seed is not None and self.augmentation is not None:
            image, mask = self.augmentation(image, mask, seed)
        sample = {"image": self._to_tensor(image), "mask": torch.from_numpy(mask[None].astype(np.float32)),
                  "label": row.label, "id": row.id}  # fmt: skip
        if self.full_masks:
            # Kept apart from the cache: at full resolution the masks of a set would fill the memory.
            sample["box"] = torch.tensor(self.preprocessing.box(kept["shape"]))
            sample["full_mask"] = torch.from_numpy(read_mask(self.root, row.masks, kept["shape"]))
        return sample

    def _kept(self, position: int) -> dict[str, Any]:
        """Decode an image and its mask on first use."""
        if position not in self._cache:
            row = self.rows[position]
            image = read_image(self.root / row.image)
            mask = read_mask(self.root, row.masks, image.shape[:2])
            shape = image.shape[:2]
            if self.part in self.preprocessing.parts:
                image = self.preprocessing.clean(image)
            image, mask = self.preprocessing.fit(image), self.preprocessing.fit(mask, is_mask=True)
            if self.overlay.applies_to(self.part):
                image = self.overlay.draw(image, mask, row.label, row.class_name)
            self._cache[position] = {"image": image, "mask": mask, "shape": shape}
        return self._cache[position]

    def _to_tensor(self, image: np.ndarray) -> Tensor:
        if self.channels == 1:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        normalised = image * self._scale - self._shift
        return torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32))


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack samples into a batch; `id` and `full_mask` stay lists, for masks differ in size."""
    batch: dict[str, Any] = {}
    for key in samples[0]:
        values = [sample[key] for sample in samples]
        if key == "label":
            batch[key] = torch.tensor(values)
        else:
            batch[key] = values if key in ("id", "full_mask") else torch.stack(values)
    return batch


class EpochSampler(Sampler[Draw]):
    """Shuffle the training images, and hand each its augmentation's seed, from (seed, epoch, id).

    No state needs to be stored to resume, and no worker draws a number of its own.

    Args:
        ids: Id of each image.
        labels: Class of each image.
        seed: The run's seed.
        oversample: Repeat images of the smaller classes until all classes are as large as the largest.
    """

    def __init__(self, ids: Sequence[str], labels: Sequence[int], seed: int, oversample: bool = False) -> None:
        self.ids, self.labels, self.seed, self.oversample = list(ids), list(labels), seed, oversample
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it as each one starts."""
        self.epoch = epoch

    def __len__(self) -> int:
        counts = Counter(self.labels)
        return max(counts.values()) * len(counts) if self.oversample else len(self.ids)

    def __iter__(self) -> Iterator[Draw]:
        draws = [(position, 0) for position in range(len(self.ids))]
        if self.oversample:
            draws += self._repeats()
        seeds = {draw: stable_hash("draw", self.seed, self.epoch, self.ids[draw[0]], draw[1]) for draw in draws}
        # The seeds are random numbers of each image: sorting by them shuffles.
        for draw in sorted(draws, key=lambda draw: seeds[draw]):
            yield draw[0], seeds[draw]

    def _repeats(self) -> list[Draw]:
        """Draw what the smaller classes lack, whole rounds first, the remainder at random in each epoch."""
        members: dict[int, list[int]] = {}
        for position, label in enumerate(self.labels):
            members.setdefault(label, []).append(position)
        largest = max(map(len, members.values()))
        repeats = []
        for positions in members.values():
            order = sorted(positions, key=lambda p: stable_hash("repeat", self.seed, self.epoch, self.ids[p]))
            for number in range(len(positions), largest):
                repeats.append((order[number % len(order)], number // len(order)))
        return repeats
