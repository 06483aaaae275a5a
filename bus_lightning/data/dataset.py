"""Turn images into the inputs of a network, batches of them, and the order of an epoch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import BatchSampler, Dataset, Sampler

from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.index import read_mask, rows_of
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.data.mistakes import mirrored
from bus_lightning.data.normalisation import Normalisation
from bus_lightning.data.preprocess import Overlay, Preprocessing

Draw = tuple[int, int]  # position of an image, seed of its augmentation


class BusDataset(Dataset[dict[str, Any]]):
    """The images of one part of a split.

    Args:
        root: The data folder.
        frame: Rows of the index, one per image of the part.
        part: `train`, `val` or `test`: decides whether the overlay applies.
        pixels: The records of `cached_pixels`; the frame's column `position` points into them.
        preprocessing: How the pixels were resized.
        overlay: The mask or label to put into the image.
        augmentation: Random changes, for keys with a seed.
        full_masks: Also return the mask at the image's own resolution, which metrics use.
        scale: Grey scale of the data set, for callers that read an image file again.
    """

    def __init__(
        self,
        root: Path,
        frame: pd.DataFrame,
        part: str,
        pixels: np.ndarray,
        preprocessing: Preprocessing,
        overlay: Overlay,
        augmentation: Augmentation | None = None,
        full_masks: bool = False,
        scale: Scale = OWN_SCALE,
    ) -> None:
        self.root, self.part, self.pixels, self.scale = root, part, pixels, scale
        self.rows = rows_of(frame)
        self.positions: list[int] = frame["position"].tolist()
        self.preprocessing, self.overlay = preprocessing, overlay
        self.augmentation, self.full_masks = augmentation, full_masks
        self._full_masks: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | Draw) -> dict[str, Any]:
        """Return one sample.

        Args:
            key: A position, or (position, seed) to augment.

        Returns:
            `image` (size, size, 3) uint8, or (size, size, 1) if all channels are equal, or (size, size, 4) with a mask
            as its last channel; `mask` (size, size) uint8 in {0, 1}; `label` int, `id` str; and the entries of
            `ground_truth`.
        """
        position, seed = key if isinstance(key, tuple) else (key, None)
        row = self.rows[position]
        image, mask = self.square(position)
        if seed is not None and self.augmentation is not None:
            image, mask = self.augmentation(image, mask, seed)
        return {"image": image, "mask": mask, "label": row.label, "id": row.id} | self.ground_truth(position)

    def square(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and mask in the network's square, as `__getitem__` does, but not augmented."""
        record, row = self.record(position), self.rows[position]
        image, mask = record["image"], record["mask"]
        if self.overlay.applies_to(self.part):
            drawn_mask = record["predicted"] if self.overlay.source == "predicted" else mask
            return self.overlay.draw(image, drawn_mask, row.label, row.class_name), mask
        # A third of the work for all further steps; albumentations gives the same grey levels.
        return (np.ascontiguousarray(image[..., :1]) if record["grey"] else image), mask

    def record(self, position: int) -> Any:
        """Return the record of `cached_pixels` of an image."""
        return self.pixels[self.positions[position]]

    def full_mask(self, position: int) -> np.ndarray:
        """Return the mask at the image's own resolution, mirrored like the image, (H, W) uint8 in {0, 1}."""
        height, width = self.record(position)["shape"].tolist()
        if position not in self._full_masks:  # as bits: an eighth of the memory
            row = self.rows[position]
            mask = mirrored(read_mask(self.root, row.masks, (height, width)), row.flip)
            self._full_masks[position] = np.packbits(mask)
        return np.unpackbits(self._full_masks[position], count=height * width).reshape(height, width)

    def ground_truth(self, position: int) -> dict[str, Any]:
        """Return the mask at the image's own resolution, for the metrics of a segmentation.

        Returns:
            `box` (4,) int64, where the image is in the square; `full_mask` (H, W) uint8; and if the data set states the
            size of pixels, `mm_per_pixel`: height and width in millimetres, None if this image's is not known. Empty
            without `full_masks`.
        """
        if not self.full_masks:
            return {}
        mask = self.full_mask(position)
        height, width = mask.shape
        truth = {"box": torch.tensor(self.preprocessing.box((height, width))), "full_mask": torch.from_numpy(mask)}
        if not hasattr(self.rows[position], "mm_per_pixel"):
            return truth
        size = self.rows[position].mm_per_pixel
        return truth | {"mm_per_pixel": size if isinstance(size, tuple) else None}  # NaN if another set has no sizes


def colors(image: np.ndarray) -> np.ndarray:
    """Return the colours of a sample's image: (H, W, 1, 3 or 4) uint8 to (H, W, 3), without a mask in channel 4."""
    return np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))


class Collate:
    """Make a batch of samples: `image` (B, C, H, W) float32, `mask` (B, 1, H, W) float32, `label` (B,) int64, lists."""

    def __init__(self, normalisation: Normalisation) -> None:
        self.normalisation = normalisation

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Stack the samples; `id`, `full_mask` and `mm_per_pixel` stay lists, because masks differ in size."""
        size = samples[0]["mask"].shape
        # Channels last, as in the images' memory; a grey image stands for three equal channels.
        channels = max(3, self.normalisation.channels)
        images = np.stack([np.broadcast_to(sample["image"], (*size, channels)) for sample in samples])
        masks = np.stack([sample["mask"] for sample in samples])
        batch = {
            "image": self.normalisation(torch.from_numpy(images).permute(0, 3, 1, 2)),
            "mask": torch.from_numpy(masks)[:, None].float(),
            "label": torch.tensor([sample["label"] for sample in samples]),
            "id": [sample["id"] for sample in samples],
        }
        return batch | collate_ground_truth(samples)


def collate_ground_truth(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Collect the entries of `BusDataset.ground_truth` for a batch: `box` (B, 4), and lists of the others."""
    if "box" not in samples[0]:
        return {}
    boxes = torch.stack([sample["box"] for sample in samples])
    lists = [key for key in ("full_mask", "mm_per_pixel") if key in samples[0]]
    return {"box": boxes} | {key: [sample[key] for sample in samples] for key in lists}


class EpochSampler(Sampler[Draw]):
    """Shuffle the training images, and give each the seed of its augmentation, from (seed, epoch, id).

    Resuming needs no stored state, and workers draw no numbers.

    Args:
        ids: Id of each image.
        labels: Class of each image.
        seed: The run's seed.
        oversample: Repeat images of the smaller classes until all classes have the size of the largest.
    """

    def __init__(self, ids: Sequence[str], labels: Sequence[int], seed: int, oversample: bool = False) -> None:
        self.ids, self.labels, self.seed, self.oversample = list(ids), list(labels), seed, oversample
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it when an epoch starts."""
        self.epoch = epoch

    def __len__(self) -> int:
        counts = Counter(self.labels)
        return max(counts.values()) * len(counts) if self.oversample else len(self.ids)

    def __iter__(self) -> Iterator[Draw]:
        draws = [(position, 0) for position in range(len(self.ids))]
        if self.oversample:
            draws += self._repeats()
        seeds = {draw: stable_hash("draw", self.seed, self.epoch, self.ids[draw[0]], draw[1]) for draw in draws}
        # The seeds are random numbers, so sorting by them shuffles.
        for draw in sorted(draws, key=lambda draw: seeds[draw]):
            yield draw[0], seeds[draw]

    def _repeats(self) -> list[Draw]:
        """Repeat images of the smaller classes, whole rounds first, the remainder at random in each epoch."""
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


class SameEpochs(EpochSampler):
    """Give the training images in the same order in each epoch, without augmentation."""

    def __iter__(self) -> Iterator[Any]:
        yield from range(len(self.ids))  # without a seed, the dataset does not augment


class EpochBatches(BatchSampler):
    """Divide the order of an epoch into batches; with several processes, each takes its share of every batch.

    Args:
        sampler: The order of the epoch.
        batch_size: Images in a batch, over all processes.
        drop_last: Skip a smaller last batch.
        rank, world: Number of this process, and of all processes.
        start: A resumed epoch, and how many of its first batches are skipped because they were trained on.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        drop_last: bool,
        rank: int = 0,
        world: int = 1,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(sampler, batch_size, drop_last)  # type: ignore[arg-type]  # draws are keys of the dataset
        self.order, self.rank, self.world, self.start = sampler, rank, world, start

    def __iter__(self) -> Iterator[list[Any]]:
        epoch, trained = self.start
        for batch in islice(super().__iter__(), trained if epoch == self.order.epoch else 0, None):
            yield batch[self.rank :: self.world]
