"""An epoch on W&B, and the images there: with truth and answer as masks, or in the caption of a classifier."""

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
from bus_lightning.training.callbacks.images import ANSWER, TRUTH, answer_caption, answers_of, outline

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)
_LESION = {1: "lesion"}


class WandbEpoch(pl.Callback):
    """Complete the row of an epoch on W&B and send it, before last.ckpt counts the epoch as done; nothing without W&B.

    Lightning hands the scalars over; what it lacks is the learning rate, and a look at a few validation images. The
    row is sent here, for Lightning would keep it until the next epoch, and a kill in between would leave a gap.

    Args:
        images: How many validation images are shown, evenly chosen, the same each time.
        every_n_epochs: How often, from the first epoch on.
    """

    def __init__(self, images: int = 8, every_n_epochs: int = 10) -> None:
        self.images, self.every = images, every_n_epochs

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the images, when it is time."""
        fits = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not (fits and self.images and trainer.current_epoch % self.every == 0):
            return
        data, task = cast(Any, trainer).datamodule, cast(BusTask, pl_module)
        for logger in _wandb_loggers(trainer):
            try:
                named = cast(Any, logger).image_names
                shown = pictures(task, data.parts["val"], data.collate, self.images, named)
                logger.experiment.log({"val/images": shown}, step=trainer.current_epoch)
            except Exception as error:  # a picture is not worth a training
                log.warning("No validation images for W&B: %s: %s", type(error).__name__, error)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send the epoch's row."""
        for logger in _wandb_loggers(trainer):
            measured = cast(BusTask, pl_module).measured()
            measured |= {"lr": trainer.optimizers[0].param_groups[0]["lr"], "epoch": trainer.current_epoch}
            logger.log_metrics(measured, step=trainer.global_step)
            logger.experiment.log({}, step=trainer.current_epoch, commit=True)


def pictures(
    task: BusTask, dataset: BusDataset, collate: Collate, count: int, named: bool = True
) -> "list[wandb.Image]":
    """Answer evenly chosen images and draw them in the network's square.

    Args:
        task: The task, attached to a trainer.
        dataset: Images of an evaluated part.
        collate: Makes the batches that the network takes.
        count: How many at most.
        named: Whether the captions show the ids of the images; otherwise they are numbered.

    Returns:
        Images with the masks `truth` and `answer`, or with both classes in the caption, or with all of these.
    """
    positions = pick_evenly(len(dataset), count)
    answers = answers_of(task, collate([dataset[position] for position in positions])["image"])
    names = [dataset.rows[position].id if named else f"image {position + 1}" for position in positions]
    return [_picture(task, dataset, *each) for each in zip(positions, names, answers, strict=True)]


def _picture(task: BusTask, dataset: BusDataset, position: int, name: str, logits: dict[str, Tensor]) -> "wandb.Image":
    import wandb  # for those who use it

    row = dataset.rows[position]
    square, truth = dataset.square(position)
    levels = square[..., 0] if square.shape[2] == 1 else square[..., :3]
    answered = (logits["mask"][0] >= 0).numpy().astype(np.uint8) if "mask" in logits else None
    caption = answer_caption(task.classes, logits, answered, truth)
    if "class" in logits:
        caption = f"truth {row.class_name}, answer {caption}"
    shown = {} if answered is None else {"truth": truth, "answer": answered}
    masks = {name: {"mask_data": mask, "class_labels": _LESION} for name, mask in shown.items()}
    return wandb.Image(levels, caption=f"{name}: {caption}", masks=masks or None)


def thumbnail(dataset: BusDataset, position: int, answer: bytes | None, side: int = 96) -> np.ndarray:
    """Draw a small picture of an image, with the outlines of truth and answer.

    Args:
        dataset: Images of an evaluated part.
        position: Of the image.
        answer: PNG of the answered mask, at the image's own resolution; None outlines nothing.
        side: Pixels.

    Returns:
        (side, side, 3) uint8 RGB; sky blue is the truth, orange the answer.
    """
    square, truth = dataset.square(position)
    tile = resize(colors(square), (side, side))
    if answer is None:
        return tile
    full = np.asarray(Image.open(BytesIO(answer)).convert("L"))
    top, left, height, width = dataset.preprocessing.box(full.shape[:2])
    placed = np.zeros_like(truth)
    placed[top : top + height, left : left + width] = resize(full, (height, width)) > 127
    outline(tile, truth, TRUTH)
    outline(tile, placed, ANSWER)
    return tile


def _wandb_loggers(trainer: pl.Trainer) -> list[WandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
