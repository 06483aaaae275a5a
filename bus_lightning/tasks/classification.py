"""Classify an image: normal, benign or malignant."""

from typing import Any

from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from bus_lightning.metrics.columns import PROBABILITY
from bus_lightning.tasks.base import Batch, BusTask, Logits


class ClassificationTask(BusTask):
    """Train a classifier; its network returns logits (B, K) for K classes."""

    def target(self, batch: Batch) -> Tensor:
        """Return the labels, (B,) int64."""
        labels: Tensor = batch["label"]
        return labels

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Return the logits of the head `class`."""
        return {"class": logits}

    def training_scores(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the share of correct predictions."""
        accuracy = multiclass_accuracy(
            logits, batch["label"], num_classes=len(self.classes), average="micro", validate_args=False
        )
        return {"accuracy": accuracy}

    def rows(self, heads: dict[str, Tensor], batch: Batch) -> list[dict[str, Any]]:
        """Return a row per image: `id`, `label` and a probability per class."""
        columns = [f"{PROBABILITY}{name}" for name in self.classes]
        probabilities = heads["class"].softmax(dim=1).cpu().tolist()
        return [
            {"id": id_, "label": self.classes[label], **dict(zip(columns, row, strict=True))}
            for id_, label, row in zip(batch["id"], batch["label"].tolist(), probabilities, strict=True)
        ]
