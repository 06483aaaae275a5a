"""Say the class of an image: normal, benign or malignant."""

from typing import Any

from torch import Tensor

from bus_lightning.metrics.columns import PROBABILITY
from bus_lightning.tasks.base import Batch, BusTask, Logits


class ClassificationTask(BusTask):
    """Train a classifier; its network returns logits (B, K) for K classes."""

    def target(self, batch: Batch) -> Tensor:
        """Pick the labels, (B,) int64."""
        labels: Tensor = batch["label"]
        return labels

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Name the logits: `class`."""
        return {"class": logits}

    def training_scores(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Tell the share of right answers."""
        return {"accuracy": (logits.argmax(dim=1) == batch["label"]).float().mean()}

    def rows(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Make a row per image: `id`, `label` and a probability per class."""
        columns = [f"{PROBABILITY}{name}" for name in self.classes]
        probabilities = logits.softmax(dim=1).cpu().tolist()
        return [
            {"id": id_, "label": self.classes[label], **dict(zip(columns, row, strict=True))}
            for id_, label, row in zip(batch["id"], batch["label"].tolist(), probabilities, strict=True)
        ]
