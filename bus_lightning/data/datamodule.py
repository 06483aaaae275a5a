"""The one LightningDataModule: batches of the three parts of a split."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import leave_to_the_parent
from bus_lightning.core.randomness import shuffled
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.dataset import BusDataset, Collate, EpochBatches, EpochSampler, Normalisation
from bus_lightning.data.device_set import DeviceBatches, Keys
from bus_lightning.data.pixels import cached_pixels
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.data.splits import PARTS, Split

_EXAMPLES = 8  # at most, and at most half a batch, so that they fit into the same memory


class BusDataModule(pl.LightningDataModule):
    """Serve dict batches: `image` (B, C, H, W) float32, `mask` (B, 1, H, W), `label` (B,), `id` list.

    Args:
        prepared: Index and groups.
        split: Who is in which part.
        cfg: The config, of which `data`, `preprocess`, `overlay`, `augment` and `seed` are read.
        full_masks: Whether evaluation batches carry the masks at the images' own resolution.
        device: Where the images lie and are augmented; None leaves them on the host.
    """

    def __init__(
        self,
        prepared: PreparedData,
        split: Split,
        cfg: DictConfig,
        full_masks: bool,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        data = self.data = options["data"]
        self.batch_size: int = data["batch_size"]
        # Without a seed, another order and augmentation each time.
        self.seed: int = torch.seed() if cfg.seed is None else cfg.seed
        preprocessing = Preprocessing.of_config(data, options["preprocess"])
        overlay = Overlay(**options["overlay"])
        self.normalisation = Normalisation(data["mean"], data["std"], data["channels"])
        self.collate = Collate(self.normalisation)

        @cache
        def pixels(cleaned: bool, cropped: bool) -> np.ndarray:
            cut = overlay if cropped else None
            return cached_pixels(prepared, preprocessing, cleaned, Path(data["cache"]), data["cache_gb"], cut)

        rows = prepared.frame.assign(position=range(len(prepared.frame))).set_index("id", drop=False)

        def part_of(part: str, ids: list[str], **further: Any) -> BusDataset:
            return BusDataset(
                prepared.root,
                rows.loc[ids],
                part,
                pixels(part in preprocessing.parts, overlay.crops(part)),
                preprocessing,
                overlay,
                scale=prepared.scale,
                **further,
            )

        # Mixed, not by class: the first batches, in this order, are what debug=overfit learns by heart.
        order = shuffled(split.train, "order")
        self.train = part_of("train", order, augmentation=Augmentation(options["augment"]))
        self.parts = {part: part_of(part, split.part(part), full_masks=full_masks) for part in PARTS}
        self.device = device
        self.augment = options["augment"]
        self._on_device: dict[BusDataset, DeviceBatches] = {}
        self.classes = len(data["classes"])
        self.labels = rows.loc[order, "label"].tolist()
        self.sampler = EpochSampler(order, self.labels, self.seed, data["balance"] == "oversample")
        self._start = (0, 0)

    def class_weights(self) -> Tensor | None:
        """Weigh each class by its rarity in training, (K,) float32 with mean 1 over images.

        Returns:
            The weights, 0 for a class without training images; None unless asked for, and where nothing is trained on.
        """
        if self.data["balance"] != "class_weights" or not self.labels:
            return None
        counts = Counter(self.labels)
        even = len(self.labels) / len(counts)
        return torch.tensor([even / counts[k] if k in counts else 0.0 for k in range(self.classes)])

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Serve augmented training images in the order of the epoch, of several processes each its share."""
        trainer: Any = self.trainer
        world = self._world
        if trainer:  # Lightning tells the epoch only when workers have read ahead
            self.sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)
        # A lone last image cannot be batch-normalised, nor shared out: it is left out of that epoch, another in each.
        drop_last = 0 < len(self.sampler) % self.batch_size < max(2, world)
        if trainer and trainer.overfit_batches:  # the same images in each epoch, and no seeds to augment them by
            order = SequentialSampler(self.train)
            return self._loader(self.train, batch_size=self.batch_size, sampler=order, drop_last=drop_last)
        batches = EpochBatches(self.sampler, self.batch_size, drop_last, self._rank, world, self._start)
        return self._loader(self.train, batch_sampler=batches)

    def state_dict(self) -> dict[str, Any]:
        """Keep the seed, and how many batches of the epoch have been trained on; none of the next one at its end."""
        trainer: Any = self.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.current.processed
        start = (trainer.current_epoch, done if done < trainer.num_training_batches else 0)
        return {"start": start, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the batches that have been trained on, in the same order also with `seed=null`."""
        self._start = tuple(state_dict["start"])
        self.seed = self.sampler.seed = state_dict.get("seed", self.seed)  # older versions kept none

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Serve the validation images; the loader is empty where the split has none."""
        return self.evaluation_dataloader("val")

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Serve the test images."""
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, part: str) -> DataLoader[dict[str, Any]]:
        """Serve the images of any part as they are, in the order of their ids, of several processes each its share.

        Raises:
            UserError: When there are fewer images than processes.
        """
        dataset = self.parts[part]
        if 0 < len(dataset) < self._world:
            raise UserError(f"trainer.devices={self._world}: the part '{part}' has {len(dataset)} images only.")
        batch_size = -(-self.batch_size // self._world)
        order = self._of_all_classes(dataset, part, batch_size)
        mine = order[self._rank :: self._world] if self._world > 1 or order != sorted(order) else None
        return self._loader(dataset, batch_size=batch_size, sampler=mine)

    def _of_all_classes(self, dataset: BusDataset, part: str, batch_size: int) -> list[int]:
        """Order a part so that its first batches hold images of all classes, if the number of batches is limited.

        Ids begin with the class: without this order a limit would exclude whole classes, and most scores would be
        undefined.

        Returns:
            Positions in the dataset, those within the limit first.
        """
        everything = list(range(len(dataset)))
        trainer: Any = self.trainer
        limit = getattr(trainer, "limit_val_batches" if part == "val" else "limit_test_batches", None)
        batches = -(-len(dataset) // (batch_size * self._world))
        wanted = batches if limit is None else int(batches * limit) if isinstance(limit, float) else limit
        if wanted >= batches:
            return everything
        # The first image of each class, then images of each class in proportion to its share.
        seen, members = Counter[int](), Counter(row.label for row in dataset.rows)
        place = {}
        for position, row in enumerate(dataset.rows):
            place[position] = seen[row.label] / members[row.label]
            seen[row.label] += 1
        ranked = sorted(everything, key=lambda position: (place[position], position))
        first = ranked[: wanted * batch_size * self._world]
        return sorted(first) + sorted(set(everything) - set(first))

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def _world(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _loader(self, dataset: BusDataset, **options: Any) -> DataLoader[Any]:
        if self.device:
            batches = self._held(dataset, self.device)
            return DataLoader(Keys(len(dataset)), collate_fn=batches, **options)
        workers = self.data["workers"]
        return DataLoader(
            dataset,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=leave_to_the_parent,
            pin_memory=torch.cuda.is_available(),
            collate_fn=self.collate,
            **options,
        )

    def _held(self, dataset: BusDataset, device: torch.device) -> DeviceBatches:
        """Put a part's images on the device when they are first asked for."""
        if dataset not in self._on_device:
            augmentation = BatchAugmentation(self.augment) if dataset is self.train else None
            self._on_device[dataset] = DeviceBatches(dataset, self.normalisation, augmentation, device)
        return self._on_device[dataset]


def example_images(datamodule: BusDataModule) -> Tensor:
    """Return a few images of the training part, or of the first part with images, evenly from its classes.

    Returns:
        (B, C, H, W) float32, B >= 2.
    """
    part = next(dataset for name in ("train", "val", "test") if len(dataset := datamodule.parts[name]))
    number = min(_EXAMPLES, max(2, datamodule.batch_size // 2))
    positions = [k * len(part) // number for k in range(number)]  # the part is sorted by class
    images: Tensor = datamodule.collate([part[position] for position in positions])["image"]
    return images
