"""The LightningDataModule: batches of the three parts of a split."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import leave_to_the_parent
from bus_lightning.core.randomness import shuffled
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.dataset import BusDataset, Collate, EpochBatches, EpochSampler, SameEpochs
from bus_lightning.data.device_set import DeviceBatches, Keys
from bus_lightning.data.normalisation import Normalisation
from bus_lightning.data.pixels import cached_pixels
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.data.splits import Split

_EXAMPLES = 8  # at most, and at most half a batch, so that they fit into the same memory


class BusDataModule(pl.LightningDataModule):
    """Serve dict batches: `image` (B, C, H, W) float32, `mask` (B, 1, H, W), `label` (B,), `id` list.

    Args:
        prepared: Index and groups.
        split: The ids of each part.
        cfg: The config; `data`, `preprocess`, `overlay`, `augment` and `seed` are read.
        full_masks: Whether evaluation batches have the masks at the images' own resolution.
        device: Keeps and augments the images; None leaves them on the host.
        augments: Whether training images are augmented. False builds nothing that the config of a run names.
    """

    def __init__(
        self,
        prepared: PreparedData,
        split: Split,
        cfg: DictConfig,
        full_masks: bool,
        device: torch.device | None = None,
        augments: bool = True,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        data = self.data = options["data"]
        self.batch_size: int = data["batch_size"]
        # Without a seed, order and augmentation differ in every run.
        self.seed: int = torch.seed() if cfg.seed is None else cfg.seed
        preprocessing = Preprocessing.of_config(data, options["preprocess"])
        overlay = Overlay(**options["overlay"])
        self.normalisation = Normalisation(data["mean"], data["std"], data["channels"])
        self.collate = Collate(self.normalisation)

        @cache
        def pixels(cleaned: bool, cropped: bool) -> np.ndarray:
            crop = overlay if cropped else None
            return cached_pixels(prepared, preprocessing, cleaned, Path(data["cache"]), data["cache_gb"], crop)

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

        # Mixed, not by class: debug=overfit learns the first batches in this order by heart.
        order = shuffled(split.train, "order")
        self.augment = options["augment"] if augments else {}
        self.train = part_of("train", order, augmentation=Augmentation(self.augment))
        self.parts = {part: part_of(part, split.part(part), full_masks=full_masks) for part in PARTS}
        self.device = device
        self._on_device: dict[BusDataset, DeviceBatches] = {}
        self.classes = len(data["classes"])
        self.labels = rows.loc[order, "label"].tolist()
        self.sampler = EpochSampler(order, self.labels, self.seed, data["balance"] == "oversample")
        self._start = (0, 0)

    def class_weights(self) -> Tensor | None:
        """Weigh each class by its rarity in training.

        Returns:
            (K,) float32 with mean 1 over images, 0 for a class without training images; None without
            `data.balance=class_weights` or training images.
        """
        if self.data["balance"] != "class_weights" or not self.labels:
            return None
        counts = Counter(self.labels)
        even = len(self.labels) / len(counts)
        return torch.tensor([even / counts[k] if k in counts else 0.0 for k in range(self.classes)])

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Serve augmented training images in the order of the epoch; with several processes, each its share.

        Raises:
            UserError: If there are too few images for a single batch.
        """
        trainer: Any = self.trainer
        world = self._world
        if trainer:  # Lightning sets the epoch only after workers have read ahead
            self.sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)
        # A single last image cannot be batch-normalised or shared: each epoch skips another one.
        images, least = len(self.sampler), max(2, world)
        drop_last = 0 < images % self.batch_size < least
        if drop_last and images < self.batch_size:
            raise UserError(
                f"The training part has {images} image{'s' * (images != 1)}, and a batch needs {least}: add images, or "
                "change data.split.ratio."
            )
        if trainer and trainer.overfit_batches:  # the same images in each epoch, without augmentation
            same = SameEpochs(self.sampler.ids, self.labels, self.seed)
            same.set_epoch(self.sampler.epoch)
            batches = EpochBatches(same, self.batch_size, drop_last, start=self._start)
            return self._loader(self.train, batch_sampler=batches)
        batches = EpochBatches(self.sampler, self.batch_size, drop_last, self._rank, world, self._start)
        return self._loader(self.train, batch_sampler=batches)

    def state_dict(self) -> dict[str, Any]:
        """Save the seed, and how many batches of the epoch have been trained on; at its end, 0 of the next one."""
        trainer: Any = self.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.current.processed
        start = (trainer.current_epoch, done if done < trainer.num_training_batches else 0)
        return {"start": start, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume after the batches that have been trained on, in the same order also with `seed=null`."""
        self._start = tuple(state_dict["start"])
        self.seed = self.sampler.seed = state_dict.get("seed", self.seed)  # older versions saved none

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Serve the validation images; the loader is empty if the split has none."""
        return self.evaluation_dataloader("val")

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Serve the test images."""
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, part: str) -> DataLoader[dict[str, Any]]:
        """Serve the images of any part, not augmented, sorted by id; with several processes, each its share.

        Raises:
            UserError: If there are fewer images than processes.
        """
        dataset = self.parts[part]
        if 0 < len(dataset) < self._world:
            raise UserError(f"trainer.devices={self._world}: the part '{part}' has only {len(dataset)} images.")
        batch_size = -(-self.batch_size // self._world)
        order = self._order_by_limit(dataset, part, batch_size)
        rank_positions = order[self._rank :: self._world] if self._world > 1 or order != sorted(order) else None
        return self._loader(dataset, batch_size=batch_size, sampler=rank_positions)

    def _order_by_limit(self, dataset: BusDataset, part: str, batch_size: int) -> list[int]:
        """Order the positions of a part: if the number of batches is limited, the first ones have all classes.

        In a folder per class, ids begin with the class: in their order, a limit would exclude whole classes, and most
        scores would be undefined.
        """
        everything = list(range(len(dataset)))
        trainer: Any = self.trainer
        limit = getattr(trainer, "limit_val_batches" if part == "val" else "limit_test_batches", None)
        batches = -(-len(dataset) // (batch_size * self._world))
        wanted = batches if limit is None else int(batches * limit) if isinstance(limit, float) else limit
        if wanted >= batches:
            return everything
        # The first image of each class, then images of each class in proportion to its share.
        labels = pd.Series([row.label for row in dataset.rows])
        rank = labels.groupby(labels).cumcount() / labels.map(labels.value_counts())
        first = rank.sort_values(kind="stable").index[: wanted * batch_size * self._world]
        return sorted(first) + sorted(set(everything) - set(first))

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def _world(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _loader(self, dataset: BusDataset, **options: Any) -> DataLoader[Any]:
        if self.device:
            batches = self._device_batches(dataset, self.device)
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

    def _device_batches(self, dataset: BusDataset, device: torch.device) -> DeviceBatches:
        """Put a part's images on the device, the first time they are needed."""
        if dataset not in self._on_device:
            augmentation = BatchAugmentation(self.augment) if dataset is self.train else None
            self._on_device[dataset] = DeviceBatches(dataset, self.normalisation, augmentation, device)
        return self._on_device[dataset]


def example_images(datamodule: BusDataModule) -> Tensor:
    """Return a few images of the training part, or of the first part with images, evenly chosen in the order of ids.

    Returns:
        (B, C, H, W) float32, B >= 2.
    """
    part = next(dataset for name in PARTS if len(dataset := datamodule.parts[name]))
    number = min(_EXAMPLES, max(2, datamodule.batch_size // 2))
    positions = [k * len(part) // number for k in range(number)]  # of a folder per class, images of each class
    images: Tensor = datamodule.collate([part[position] for position in positions])["image"]
    return images
