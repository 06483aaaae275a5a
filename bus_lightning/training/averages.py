"""Average the probabilities of several networks: of classes from their tables, of masks from the networks themselves.

A mask is thresholded after the average, at the image's own resolution. With a no-lesion rule, the lesion scores of the
networks are averaged, too, and so are the thresholds of their no-lesion rules.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor

from bus_lightning.core.progress import watched
from bus_lightning.metrics.columns import PROBABILITY, classes_of
from bus_lightning.models.maps import full_size
from bus_lightning.tasks.base import Batch
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.training.evaluate import PreparedNetwork


@dataclass(frozen=True)
class Prediction:
    """What a network predicts for an image.

    Attributes:
        id: The image.
        map: Probability of a lesion at the image's own resolution, (H, W) float32.
        score: Its lesion score, in [0, 1].
        classes: Column of a class in cases.csv -> its probability; empty for a segmenter.
    """

    id: str
    map: Tensor
    score: float
    classes: dict[str, float]


def average_classes(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Average the class probabilities of several networks for the same images.

    Args:
        tables: The cases of each network, a row per image, with the same images and classes in any order.

    Returns:
        `id`, `split`, `label` and the probabilities, in the order of the first table.
    """
    first = tables[0]
    columns = [f"{PROBABILITY}{name}" for name in classes_of(first)]
    aligned = [table.set_index("id").loc[first["id"], columns].to_numpy("float64") for table in tables]
    mean = sum(aligned[1:], start=aligned[0]) / len(aligned)
    return first[["id", "split", "label"]].reset_index(drop=True).join(pd.DataFrame(mean, columns=columns))


def average_masks(
    networks: Sequence[PreparedNetwork], part: str, shows_progress: bool
) -> tuple[pd.DataFrame, dict[str, bytes]]:
    """Average the probability maps of several networks for the same images, and score the masks that result.

    All networks see an image before any of them sees the next batch, so that the maps of one batch are in memory.

    Args:
        networks: Segmenters or joint networks, with the same images in this part.
        part: Part of the split.
        shows_progress: Whether to show the number of batches.

    Returns:
        The cases, with the columns `id,split,label` first, as an evaluation of one network writes them; and the masks,
        id -> PNG.

    Raises:
        ValueError: If a network has other images, or fewer.
    """
    leader, others = networks[0], [_predict(network, part) for network in networks[1:]]
    task = cast(SegmentationTask, leader.task)
    task.predicted_masks = {}
    least_score = fmean(cast(SegmentationTask, network.task).least_score for network in networks)
    rows: list[dict[str, Any]] = []
    batches, number = _batches(leader, part), len(leader.datamodule.evaluation_dataloader(part))
    with torch.inference_mode():
        for batch, own in watched(batches, "batches", number) if shows_progress else batches:
            # Not `map(next, others)`, which ends without an error at a network that has no further image.
            everyone = list(zip(own, *(islice(other, len(own)) for other in others), strict=True))
            _refuse_other_images(everyone)
            scores = [fmean(prediction.score for prediction in predictions) for predictions in everyone]
            mask_rows = task.rows_of_maps(map(_mean_map, everyone), batch, scores, least_score)
            rows += [_with_classes(row, each) for row, each in zip(mask_rows, everyone, strict=True)]
    cases = pd.DataFrame(rows)
    cases.insert(1, "split", part)
    return cases, task.predicted_masks


def _batches(network: PreparedNetwork, part: str) -> Iterator[tuple[Batch, list[Prediction]]]:
    """Predict the batches of a part as the Trainer's test does, in the order of the ids."""
    task, trainer = cast(SegmentationTask, network.task), network.trainer
    task.trainer = trainer  # whose precision it predicts with
    task.to(trainer.strategy.root_device)
    for batch in network.datamodule.evaluation_dataloader(part):
        heads = task.predict_heads(batch["image"])
        masks = map(
            full_size, heads["mask"].sigmoid(), batch["box"].tolist(), [each.shape for each in batch["full_mask"]]
        )
        scores = task.lesion_scores(heads).tolist()
        columns = [f"{PROBABILITY}{name}" for name in task.classes]
        rows = heads["class"].softmax(dim=1).tolist() if "class" in heads else [[]] * len(batch["id"])
        yield (
            batch,
            [
                Prediction(id_, mask, score, dict(zip(columns, row, strict=bool(row))))
                for id_, mask, score, row in zip(batch["id"], masks, scores, rows, strict=True)
            ],
        )


def _predict(network: PreparedNetwork, part: str) -> Iterator[Prediction]:
    for _, predictions in _batches(network, part):
        yield from predictions


def _refuse_other_images(everyone: Sequence[Sequence[Prediction]]) -> None:
    """Raise an error if the networks do not predict the same image, which the callers' checks exclude."""
    for predictions in everyone:
        if len(ids := {prediction.id for prediction in predictions}) > 1:
            raise ValueError(f"The networks of an ensemble predict different images: {', '.join(sorted(ids))}.")


def _mean_map(predictions: Sequence[Prediction]) -> Tensor:
    total = predictions[0].map
    for prediction in predictions[1:]:
        total = total + prediction.map
    return total / len(predictions)


def _with_classes(row: dict[str, Any], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Add the mean probabilities of the classes to the row of a mask, in the order of a run's cases."""
    total = {
        column: sum(prediction.classes[column] for prediction in predictions) / len(predictions)
        for column in predictions[0].classes
    }
    return {"id": row["id"], "label": row["label"], **total, **row}
