"""Outline the lesion and say the class, with one network."""

from typing import Any

from torch import Tensor

from bus_lightning.tasks.base import Batch, Logits
from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.segmentation import SegmentationTask


class JointTask(SegmentationTask, ClassificationTask):
    """Train a network with two heads, which returns logits of the mask (B, 1, H, W) and of K classes (B, K)."""

    def target(self, batch: Batch) -> Any:
        """Pick masks and labels, as both tasks do."""
        return SegmentationTask.target(self, batch), ClassificationTask.target(self, batch)

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Name the logits: `mask` and `class`."""
        mask, class_ = logits
        return {"mask": mask, "class": class_}

    def training_scores(self, logits: Logits, batch: Batch) -> dict[str, Tensor]:
        """Tell what both tasks tell."""
        mask, class_ = logits
        return SegmentationTask.training_scores(self, mask, batch) | ClassificationTask.training_scores(
            self, class_, batch
        )

    def rows(self, logits: Logits, batch: Batch) -> list[dict[str, Any]]:
        """Make a row per image with the columns of both tasks."""
        mask, class_ = logits
        said = ClassificationTask.rows(self, class_, batch)
        outlined = SegmentationTask.rows(self, mask, batch)
        return [one | other for one, other in zip(said, outlined, strict=True)]
