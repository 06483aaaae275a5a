"""Draw pictures of a run's predictions."""

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from bus_lightning.core.files import aside
from bus_lightning.data.dataset import BusDataset, Collate
from bus_lightning.data.index import pick_evenly, read_image, read_mask
from bus_lightning.data.masks import resize_mask
from bus_lightning.data.mistakes import mirrored
from bus_lightning.data.resizing import resize
from bus_lightning.models.maps import predicted_mask
from bus_lightning.tasks.base import BusTask

_TILE, _COLUMNS = 240, 4  # pixels, tiles
TRUTH, PREDICTION = (90, 200, 250), (250, 180, 60)  # sky blue and orange, which colour-blind readers can distinguish


def save_sheet(task: BusTask, dataset: BusDataset, collate: Collate, path: Path, count: int = 8) -> None:
    """Save a sheet of evenly chosen images with the ground truth and the prediction.

    Args:
        task: The trained task.
        dataset: Images of an evaluated part.
        collate: Makes the batches that the network takes.
        path: The PNG.
        count: Number of images.
    """
    positions = pick_evenly(len(dataset), count)
    batch = collate([dataset[position] for position in positions])
    boxes = batch["box"].tolist() if "box" in batch else [[]] * len(positions)
    predictions = predict_each(task, batch["image"])
    tiles = [
        _tile(task, dataset, position, predicted, box)
        for position, predicted, box in zip(positions, predictions, boxes, strict=True)
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1]
    with aside(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def predict_each(task: BusTask, image: Tensor) -> list[dict[str, Tensor]]:
    """Predict images (B, C, H, W); returns for each the logits `mask` (1, H, W), `class` (K,), or both."""
    heads = task.predict_logits(image)
    return [dict(zip(heads, predicted, strict=True)) for predicted in zip(*heads.values(), strict=True)]


def _tile(task: BusTask, dataset: BusDataset, position: int, logits: dict[str, Tensor], box: list[int]) -> np.ndarray:
    """Draw one image with its outlines and a caption, (tile, tile, 3) uint8 RGB."""
    row = dataset.rows[position]
    image = mirrored(read_image(dataset.root / row.image, dataset.scale), row.flip)
    truth = mirrored(read_mask(dataset.root, row.masks, image.shape[:2]), row.flip)
    scale = _TILE / max(image.shape[:2])
    tile = resize(image, tuple(max(1, round(side * scale)) for side in image.shape[:2]))
    outline(tile, truth, TRUTH)
    predicted = None
    if "mask" in logits:
        predicted = predicted_mask(logits["mask"].sigmoid(), box, truth.shape).numpy().astype(np.uint8)
        outline(tile, predicted, PREDICTION)
    caption = prediction_caption(task.classes, logits, predicted, truth)
    square = np.zeros((_TILE + 40, _TILE, 3), np.uint8)
    square[: tile.shape[0], : tile.shape[1]] = tile
    for line, (text, color) in enumerate([(f"ground truth: {row.class_name}", TRUTH), (caption, PREDICTION)]):
        cv2.putText(square, text, (6, _TILE + 15 + 18 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
    return square


def prediction_caption(
    classes: list[str], logits: dict[str, Tensor], predicted: np.ndarray | None, truth: np.ndarray
) -> str:
    """Describe a prediction: its class, the Dice of its mask, or both.

    Args:
        classes: Names of the classes.
        logits: `class` (K,), if the network predicts one.
        predicted: Predicted mask (H, W) uint8 in {0, 1}; None without one.
        truth: Ground-truth mask, likewise.
    """
    parts = [class_caption(classes, logits["class"])] if "class" in logits else []
    return ", ".join(parts if predicted is None else [*parts, dice_caption(predicted, truth)])


def dice_caption(predicted: np.ndarray, truth: np.ndarray) -> str:
    """Describe the agreement of two masks, both (H, W) uint8 in {0, 1}."""
    total = int(predicted.sum()) + int(truth.sum())
    return f"Dice {2 * int((predicted & truth).sum()) / total:.2f}" if total else "no lesion, none predicted"


def class_caption(classes: list[str], logits: Tensor) -> str:
    """Describe the most probable class and its probability, from logits (K,)."""
    best = int(logits.argmax())
    return f"{classes[best]} {float(logits.softmax(0)[best]):.2f}"


def outline(tile: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw the outline of a mask (H, W) uint8 onto a tile (h, w, 3) uint8."""
    small = resize_mask(mask, tile.shape[:2])
    cv2.drawContours(tile, cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0], -1, color, 1)
