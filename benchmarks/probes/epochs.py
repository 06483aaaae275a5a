"""The data of a config as a run serves them."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data


def datamodule_of(cfg: DictConfig) -> BusDataModule:
    """Prepare, split and serve the data of a config, as a run does."""
    segmentation = cfg.task.name == "segmentation"
    prepared = prepare_data(cfg.data, needs_masks=segmentation)
    cfg.data.classes, cfg.data.num_classes = prepared.classes, len(prepared.classes)
    return BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=segmentation)


def epoch_of(datamodule: BusDataModule) -> Iterator[dict[str, Any]]:
    """Serve an epoch of training batches as the network takes them, normalised."""
    yield from datamodule.train_dataloader()
