"""Explain one run: make heat maps of its test images, compare them with the lesions, draw a sheet of some."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from bus_lightning.config.build import build_net
from bus_lightning.config.trusted import Origin
from bus_lightning.core.cache import cleared
from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside, list_checksums, write_aside
from bus_lightning.core.reading import read_text
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.dataset import BusDataset
from bus_lightning.data.index import pick_evenly
from bus_lightning.explain.explained_image import ExplainedImage
from bus_lightning.explain.heatmaps import HeatMaps, Settings
from bus_lightning.explain.sheet import save_sheet, save_tiles
from bus_lightning.tasks.base import BusTask

log = logging.getLogger(__name__)
_OPTIONS = "options.json"
_SUMS = "SHA256SUMS"
_BATCH = 8  # images
_ON_SHEET = 2  # images of each class


def explain_run(
    cfg: DictConfig,
    task: BusTask,
    datamodule: BusDataModule,
    device: torch.device,
    options: Mapping[str, Any],
    folder: Path,
    weights: str,
    progress: bool,
    origin: Origin,
) -> None:
    """Write `maps.csv`, `heatmaps.png` and `tiles/` of a classifier's test images; a segmenter gets a line in the log.

    Everything is computed in float32. An image's maps are for the class that the network predicts for the image itself,
    also if the run averages the image and its mirror image. Maps for the same class from random weights of the same
    architecture show the contribution of the method alone. Images without a lesion get maps only for the sheet.

    Args:
        cfg: The run's config.
        task: The task with the trained weights.
        datamodule: The run's data.
        device: Device for the computation.
        options: `explain_options` of the config of `evaluate.py`.
        folder: Output folder.
        weights: The checksum of the run's checkpoint; maps of another one are made again.
        progress: Whether to show a progress bar.
        origin: Where the config was read from.

    Raises:
        UserError: If an option is invalid.

    References:
        Adebayo et al., Sanity Checks for Saliency Maps, 2018.
    """
    settings = Settings(**options)
    run, dataset = folder.parent, datamodule.parts["test"]
    if cfg.task.name != "classification":
        log.info("%s: no heat maps: they explain classifiers, and this run's task is %s.", run, cfg.task.name)
        return
    if not len(dataset):
        log.info("%s: no heat maps: the split has no test images.", run)
        return
    decides = {"weights": weights, **asdict(settings)}
    if dataset.preprocessing.resize == "pad":  # an earlier version counted the black borders
        decides["measured"] = "within the image"
    made_with = json.dumps(decides, indent=1, default=list) + "\n"
    if _are_made(folder, made_with):
        log.info("%s: heat maps with the same options exist already", folder)
        return
    start = time.monotonic()
    positions = pick_evenly(len(dataset), settings.images or len(dataset))
    makers = _build_makers(cfg, task, settings, datamodule.collate([dataset[0]])["image"].to(device), origin)
    methods = makers["trained"].methods
    if not methods:
        log.warning("%s: no heat maps: Grad-CAM needs a network that ends with a feature map.", run)
        return
    if len(methods) < len(settings.methods):
        log.warning("%s: no Grad-CAM: the network does not end with a feature map.", run)
    shown = _choose_shown(dataset, positions)
    rows, on_sheet = [], []
    explained = _explain(makers, task, datamodule, positions, shown, device)
    for image in tqdm(
        explained, "heat maps", len(positions), unit="image", disable=None if progress else True, leave=False
    ):
        rows += image.rows(list(methods))
        if image.id in shown:
            on_sheet.append(image)
    for name in ("maps.csv", "heatmaps.png", _OPTIONS, _SUMS):
        cleared(folder / name)
    with aside(folder / "maps.csv") as path:
        write_csv(pd.DataFrame(rows), path)
    save_tiles(on_sheet, folder / "tiles")
    save_sheet(on_sheet, str(cfg.name), folder / "heatmaps.png")
    write_aside(folder / _OPTIONS, made_with)
    write_aside(folder / _SUMS, _sum_files(folder))  # last: the folder is complete
    log.info("%s: heat maps of %d images in %.0f s", folder, len(positions), time.monotonic() - start)


def _are_made(folder: Path, made_with: str) -> bool:
    """Check whether the maps were made with these weights and options, and are whole; damage is logged."""
    options = folder / _OPTIONS
    with suppress(OSError, UserError):
        if not options.is_file() or read_text(options) != made_with:
            return False
        if read_text(folder / _SUMS) == _sum_files(folder):
            return True
    log.warning("%s: the heat maps are made again: the checksum of a file is missing or differs.", folder)
    return False


def _sum_files(folder: Path) -> str:
    """List the checksums of the maps' files."""
    tiles = (file.relative_to(folder).as_posix() for file in sorted((folder / "tiles").rglob("*.png")))
    return list_checksums(folder, ("maps.csv", "heatmaps.png", _OPTIONS, *tiles))


def _build_makers(
    cfg: DictConfig, task: BusTask, settings: Settings, example: Tensor, origin: Origin
) -> dict[str, HeatMaps]:
    """Build the network twice, with the trained weights and with random ones."""
    nets = {}
    for weights in ("trained", "random"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.random_seed)
            nets[weights] = build_net(cfg.model, cfg.debug_size, origin)
    # Not the task's own network: after an evaluation its tensors may not support gradients.
    nets["trained"].load_state_dict({name: tensor.clone() for name, tensor in task.net.state_dict().items()})
    return {
        weights: HeatMaps(net.to(example.device, memory_format=task.memory_format), settings, example)
        for weights, net in nets.items()
    }


def _choose_shown(dataset: BusDataset, positions: list[int]) -> set[str]:
    """Choose images for the sheet, evenly from each class."""
    by_class: dict[int, list[str]] = {}
    for position in positions:
        by_class.setdefault(dataset.rows[position].label, []).append(dataset.rows[position].id)
    return {ids[(2 * n + 1) * len(ids) // (2 * _ON_SHEET)] for ids in by_class.values() for n in range(_ON_SHEET)}


def _explain(
    makers: dict[str, HeatMaps],
    task: BusTask,
    datamodule: BusDataModule,
    positions: list[int],
    shown: set[str],
    device: torch.device,
) -> Iterator[ExplainedImage]:
    """Make the needed maps of the test images at these positions, batch by batch."""
    dataset = datamodule.parts["test"]
    for start in range(0, len(positions), _BATCH):
        samples = [dataset[position] for position in positions[start : start + _BATCH]]
        images = datamodule.collate(samples)["image"].to(device, memory_format=task.memory_format)
        with torch.no_grad():
            probabilities, predicted = makers["trained"].net(images).softmax(dim=1).max(dim=1)
        lesions = [bool(sample["mask"].any()) for sample in samples]
        on_sheet = [sample["id"] in shown for sample in samples]
        needed = {"trained": np.logical_or(lesions, on_sheet), "random": np.array(lesions)}
        heat = {weights: _maps(makers[weights], images, predicted, needed[weights]) for weights in makers}
        for number, sample in enumerate(samples):
            position = dataset.positions[positions[start + number]]
            is_cropped = dataset.overlay.crops(dataset.part)  # then the position in the file is unknown
            height, width = sample["mask"].shape if is_cropped else dataset.pixels["shape"][position].tolist()
            yield ExplainedImage(
                id=sample["id"], label=task.classes[sample["label"]], predicted=task.classes[predicted[number]],
                probability=float(probabilities[number]), image=sample["image"], mask=sample["mask"],
                box=dataset.preprocessing.box((height, width)), shape=(height, width),
                heat={weights: maps[number] for weights, maps in heat.items()},
            )  # fmt: skip


def _maps(maker: HeatMaps, images: Tensor, targets: Tensor, needed: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Make the maps of the images of a batch that need them; the others get an empty dict."""
    by_image: list[dict[str, np.ndarray]] = [{} for _ in needed]
    numbers = needed.nonzero()[0].tolist()
    if numbers:
        for method, maps in maker(images[numbers], targets[numbers]).items():
            for number, heat in zip(numbers, maps.numpy(), strict=True):
                by_image[number][method] = heat
    return by_image
