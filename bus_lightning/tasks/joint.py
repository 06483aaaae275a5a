"""Outline the lesion and classify the image with one network."""

from typing import Any

from torch import Tensor

from bus_lightning.tasks.base import Batch, Logits
from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.segmentation import SegmentationTask


class JointTask(SegmentationTask, ClassificationTask):
    """Train a network with two heads, which returns logits of the mask (B, 1, H, W) and of K classes (B, K)."""

    def target(self, batch: Batch) -> Any:
        """Return masks and labels, the targets of both tasks."""
        return SegmentationTask.target(self, batch), ClassificationTask.target(self, batch)

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Return the logits of the heads `mask` and `class`."""
        mask, class_ = logits
        return {"mask": mask, "class": class_}

    def training_scores(self, logits: Logits, batch: Batch) -> dict[str, Tensor]:
        """Compute the scores of both tasks."""
        mask, class_ = logits
        return SegmentationTask.training_scores(self, mask, batch) | ClassificationTask.training_scores(
            self, class_, batch
        )

    def rows(self, heads: dict[str, Tensor], batch: Batch) -> list[dict[str, Any]]:
        """Return a row per image with the columns of both tasks."""
        class_rows, mask_rows = ClassificationTask.rows(self, heads, batch), SegmentationTask.rows(self, heads, batch)
        return [class_row | mask_row for class_row, mask_row in zip(class_rows, mask_rows, strict=True)]
