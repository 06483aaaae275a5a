"""Ways of making training batches, without a network, on one thread: images/s."""

import argparse
import json
import shutil
import time
from collections.abc import Iterable
from typing import Any

import cv2
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from benchmarks.bare import CONF, composed
from benchmarks.contestants import data_options
from benchmarks.plain import train as plain
from benchmarks.probes.epochs import datamodule_of, epoch_of
from benchmarks.processes import SCRATCH
from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data

PLAIN_CONF = CONF.parent / "benchmarks" / "plain" / "conf"
Batches = Iterable[Any]


def rate(batches: Batches, batch_size: int, at_most: int) -> float:
    """Go through batches and count images/s; the time to the first one counts."""
    begin, count = time.perf_counter(), 0
    for count, _ in enumerate(batches, start=1):
        if count == at_most:
            break
    return count * batch_size / (time.perf_counter() - begin)


def rates_of_ours(overrides: list[str], at_most: int) -> dict[str, float]:
    """Measure the datamodule, its cache on disk made, in the first epoch of a process and in a later one."""
    cfg = composed("model=resnet34", *data_options(), *overrides)
    datamodule = datamodule_of(cfg)
    size = cfg.data.batch_size
    return {name: rate(epoch_of(datamodule), size, at_most) for name in ("first", "later")}


def rate_of_making_the_cache() -> dict[str, float]:
    """Measure how fast the cache on disk is made, once for a folder and a size, with all cores."""
    cfg = composed("model=resnet34", *data_options())
    datamodule_of(cfg)  # makes the audit and the cache that all the others take
    cold = SCRATCH / "data-cache"
    shutil.rmtree(cold, ignore_errors=True)
    shutil.copytree(cfg.data.cache, cold, ignore=shutil.ignore_patterns("pixels-*"))
    cfg.data.cache = str(cold)
    prepared = prepare_data(cfg.data, needs_masks=False)
    split = prepared.split(cfg.data.split)
    begin = time.perf_counter()
    BusDataModule(prepared, split, cfg, full_masks=False)
    seconds = time.perf_counter() - begin
    shutil.rmtree(cold)
    return {"first": len(prepared.frame) / seconds}


def rates_of_plain(model: str, at_most: int) -> dict[str, float]:
    """Measure the baseline's training loader; its epochs are all alike."""
    with initialize_config_dir(str(PLAIN_CONF), version_base="1.3"):
        cfg = compose("config", overrides=[f"model={model}", "output_dir=null"])
    loader: DataLoader[Any] = plain.loaders(cfg)[0]
    return {"later": rate(loader, cfg.batch_size, at_most)}


def rates_of_batch_augmentation(at_most: int, batch: int = 16, size: int = 224) -> dict[str, float]:
    """Measure the augmentation of whole batches, of images that are in memory."""
    augment: Any = OmegaConf.to_container(composed("model=resnet34").augment)
    augmentation = BatchAugmentation(augment)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    masks = torch.randint(0, 2, (batch, 1, size, size), dtype=torch.uint8)
    numbers = range(at_most)
    changed = (augmentation(images, masks, range(n * batch, (n + 1) * batch)) for n in numbers)
    return {"later": rate(changed, batch, at_most)}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10**6, help="stop an epoch after so many")
    limit: int = parser.parse_args().batches
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    measured = {
        "ours, making the cache, all cores": rate_of_making_the_cache(),
        "plain: decode, resize, augment": rates_of_plain("resnet34", limit),
        "ours": rates_of_ours([], limit),
        "ours, 1 worker": rates_of_ours(["data.workers=1"], limit),
        "ours, 2 workers": rates_of_ours(["data.workers=2"], limit),
        "ours, not augmented": rates_of_ours(["augment=none"], limit),
        "augmenting whole batches, without reading": rates_of_batch_augmentation(min(limit, 40)),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
