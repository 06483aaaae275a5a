"""The images of a dataset, corrupted before the run's own preprocessing."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bus_lightning.data.corruptions import corrupt
from bus_lightning.data.dataset import BusDataset, Draw
from bus_lightning.data.mistakes import mirrored
from bus_lightning.data.pixels import make_record, read_files, record_type


class CorruptedDataset(BusDataset):
    """Read images from their files, corrupt them, then clean, resize and draw as another dataset does.

    Args:
        dataset: The images of one part.
        positions: Those to take.
        corruption: Key of `CORRUPTIONS`; None leaves the images as they are.
        strength: 1 (slight) to 5 (severe).
    """

    def __init__(
        self, dataset: BusDataset, positions: Sequence[int], corruption: str | None = None, strength: int = 1
    ) -> None:
        vars(self).update(vars(dataset))
        self.rows = [dataset.rows[position] for position in positions]
        self.corruption, self.strength = corruption, strength
        self._read: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # of the samples that are being made

    def __getitem__(self, key: int | Draw) -> dict[str, Any]:
        """Return one sample, as `BusDataset` does."""
        try:
            return super().__getitem__(key)
        finally:
            self._read.pop(key, None)  # type: ignore[arg-type]

    def __getitems__(self, keys: list[int]) -> list[dict[str, Any]]:
        """Return the samples of a batch, read on every core."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self.__getitem__, keys))

    def record(self, position: int) -> Any:
        """Return the record of a corrupted image, as `cached_pixels` has it of the others."""
        return self._read_once(position)[0]

    def full_mask(self, position: int) -> np.ndarray:
        """Return the mask at the image's own resolution, mirrored like the image, and cut if the image is cropped."""
        return self._read_once(position)[1]

    def _read_once(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        if position not in self._read:
            row = self.rows[position]
            image, masks = read_files(row, self.root, self.scale)
            if self.corruption:
                image, masks = corrupt(self.corruption, self.strength, image, masks, row.id)
            overlay = self.overlay if self.overlay.crops(self.part) else None
            is_cleaned = self.part in self.preprocessing.parts
            record = make_record(row, image, masks, self.preprocessing, is_cleaned, overlay)
            kind = record_type(self.preprocessing.size, len(masks) > 1)
            self._read[position] = np.array(record, kind), mirrored(masks[0], row.flip)
        return self._read[position]
