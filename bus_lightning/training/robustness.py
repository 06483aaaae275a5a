"""Evaluate the kept weights of a run on corrupted test images."""

import logging
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from tqdm import tqdm

from bus_lightning.core.errors import UserError
from bus_lightning.data.corrupted import CorruptedDataset
from bus_lightning.data.corruptions import CORRUPTIONS, STRENGTHS
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import pick_evenly
from bus_lightning.runs.robustness import CLEAN, Level, RobustnessDir, corruption_values
from bus_lightning.tasks.base import BusTask
from bus_lightning.training.evaluated_parts import evaluate_parts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RobustnessSettings:
    """What the test images are corrupted with.

    Attributes:
        corruptions: Keys of `CORRUPTIONS`.
        strengths: From 1 (slight) to 5 (severe).
        images: Number of test images, evenly chosen; None chooses all.
    """

    corruptions: Sequence[str]
    strengths: Sequence[int]
    images: int | None

    def __post_init__(self) -> None:
        known: dict[str, Sequence[Any]] = {"corruptions": tuple(CORRUPTIONS), "strengths": STRENGTHS}
        for option, values in known.items():
            for value in (chosen := getattr(self, option)):
                if value not in values:
                    raise UserError(
                        f"robustness_options.{option}: {value} is unknown: choose from {', '.join(map(str, values))}."
                    )
            if not chosen:
                raise UserError(f"robustness_options.{option} is empty: choose from {', '.join(map(str, values))}.")
        if self.images is not None and self.images < 1:
            raise UserError(f"robustness_options.images={self.images}: give at least 1, or null for all.")

    @property
    def levels(self) -> list[Level]:
        """The levels, first the images as they are."""
        return [CLEAN, *(Level(name, strength) for name in self.corruptions for strength in self.strengths)]


def evaluate_robustness(
    trainer: pl.Trainer,
    task: BusTask,
    datamodule: BusDataModule,
    options: Mapping[str, Any],
    folder: Path,
    made_with: Mapping[str, Any],
    progress: bool,
) -> None:
    """Write the cases of a run's test images for each corruption and strength, and of the images as they are.

    The images are corrupted at their own resolution, before the run's preprocessing. Tables that are complete stay, so
    the same command continues an interrupted one.

    Args:
        trainer: The Trainer of the evaluation, which takes all images; it is changed to show no bar.
        task: The task with the kept weights.
        datamodule: The run's data.
        options: `robustness_options` of the config of `evaluate.py`.
        folder: Output folder.
        made_with: What decides the numbers; the tables of others are made again.
        progress: Whether to show a progress bar.

    Raises:
        UserError: If an option is invalid.
    """
    settings, dataset = RobustnessSettings(**options), datamodule.parts["test"]
    if not len(dataset):
        log.info("%s: not tested on corrupted images: the split has no test images.", folder.parent)
        return
    if dataset.overlay.applies_to("test") and dataset.overlay.source == "predicted":
        log.warning("%s: no robustness: its input needs masks of segmenters, which exist for unchanged images only.",
                    folder.parent)  # fmt: skip
        return
    positions = pick_evenly(len(dataset), settings.images or len(dataset))
    made_with = dict(made_with, images=len(positions), values=corruption_values())
    output, start = RobustnessDir(folder), time.monotonic()
    complete = output.start(made_with)
    levels = [level for level in settings.levels if level not in complete]
    if not levels:
        log.info("%s: complete, skipped", folder)
        return
    untyped: Any = trainer  # the type checker does not see its setters
    untyped.callbacks = []
    for level in tqdm(levels, "robustness", unit="evaluation", disable=None if progress else True, leave=False):
        corrupted = copy(datamodule)
        corrupted.device = None  # each image is read once
        corrupted.parts = {"test": CorruptedDataset(dataset, positions, level.corruption or None, level.strength)}
        cases, _ = evaluate_parts(trainer, task, corrupted, ["test"])
        output.write(level, cases, made_with)
    log.info("%s: %d evaluations of %d images in %.0f s", folder, len(levels), len(positions),
             time.monotonic() - start)  # fmt: skip
