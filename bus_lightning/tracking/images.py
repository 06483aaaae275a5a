"""The row of an epoch on W&B, and images with the ground truth and the prediction."""

import logging
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch import Tensor

from bus_lightning.data.dataset import BusDataset, Collate, colors
from bus_lightning.data.index import pick_evenly
from bus_lightning.data.resizing import resize
from bus_lightning.tasks.base import BusTask
from bus_lightning.training.callbacks.images import PREDICTION, TRUTH, outline, predict_each, prediction_caption

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)


class WandbEpoch(pl.Callback):
    """Complete the row of each epoch on W&B and send it, before last.ckpt counts the epoch; do nothing without W&B.

    Lightning logs the scalars; this adds the learning rate and a few validation images. Lightning would keep the row
    until the next epoch, so a kill in between would lose it.

    Args:
        images: Number of validation images, evenly chosen, the same each time.
        every_n_epochs: Interval between two sets of images; the first epoch has one.
    """

    def __init__(self, images: int = 8, every_n_epochs: int = 10) -> None:
        self.images, self.every = images, every_n_epochs

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the images of every n-th epoch."""
        fits = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not (fits and self.images and trainer.current_epoch % self.every == 0):
            return
        data, task = cast(Any, trainer).datamodule, cast(BusTask, pl_module)
        for logger in _wandb_loggers(trainer):
            try:
                named = cast(Any, logger).image_names
                images = pictures(task, data.parts["val"], data.collate, self.images, named)
                logger.experiment.log({"val/images": images}, step=trainer.current_epoch)
            except Exception as error:  # the training continues without its pictures
                log.warning("No validation images for W&B: %s: %s", type(error).__name__, error)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send the row of the epoch."""
        for logger in _wandb_loggers(trainer):
            measured = cast(BusTask, pl_module).measured()
            measured |= {"lr": trainer.optimizers[0].param_groups[0]["lr"], "epoch": trainer.current_epoch}
            logger.log_metrics(measured, step=trainer.global_step)
            logger.experiment.log({}, step=trainer.current_epoch, commit=True)


def pictures(
    task: BusTask, dataset: BusDataset, collate: Collate, count: int, named: bool = True
) -> "list[wandb.Image]":
    """Draw evenly chosen images, as the network sees them, with its predictions.

    Args:
        task: The task, attached to a trainer.
        dataset: Images of an evaluated part.
        collate: Makes the batches that the network takes.
        count: Largest number of images.
        named: Whether the captions show the ids of the images instead of numbers.

    Returns:
        Images with the masks `ground_truth` and `prediction`, with both classes in the caption, or with all of these.
    """
    positions = pick_evenly(len(dataset), count)
    predictions = predict_each(task, collate([dataset[position] for position in positions])["image"])
    names = [dataset.rows[position].id if named else f"image {position + 1}" for position in positions]
    return [_picture(task, dataset, *each) for each in zip(positions, names, predictions, strict=True)]


def _picture(task: BusTask, dataset: BusDataset, position: int, name: str, logits: dict[str, Tensor]) -> "wandb.Image":
    import wandb  # only if it is used

    row = dataset.rows[position]
    square, truth = dataset.square(position)
    levels = square[..., 0] if square.shape[2] == 1 else square[..., :3]
    predicted = (logits["mask"][0] >= 0).numpy().astype(np.uint8) if "mask" in logits else None
    caption = prediction_caption(task.classes, logits, predicted, truth)
    if "class" in logits:
        caption = f"ground truth {row.class_name}, prediction {caption}"
    masks = {} if predicted is None else {"ground_truth": truth, "prediction": predicted}
    layers = {layer: {"mask_data": mask, "class_labels": {1: "lesion"}} for layer, mask in masks.items()}
    return wandb.Image(levels, caption=f"{name}: {caption}", masks=layers or None)


def thumbnail(dataset: BusDataset, position: int, mask: bytes | None, side: int = 96) -> np.ndarray:
    """Draw a small picture of an image, with the outlines of ground truth and prediction.

    Args:
        dataset: Images of an evaluated part.
        position: Position of the image in the dataset.
        mask: PNG of the predicted mask, at the image's own resolution; None draws no outlines.
        side: Pixels.

    Returns:
        (side, side, 3) uint8 RGB; the ground truth is sky blue, the prediction orange.
    """
    square, truth = dataset.square(position)
    tile = resize(colors(square), (side, side))
    if mask is None:
        return tile
    predicted = dataset.preprocessing.fit(np.asarray(Image.open(BytesIO(mask)).convert("L"))) > 127
    outline(tile, truth, TRUTH)
    outline(tile, predicted.astype(np.uint8), PREDICTION)
    return tile


def _wandb_loggers(trainer: pl.Trainer) -> list[WandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
