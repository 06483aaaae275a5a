"""What a run is made of, before anything is trained."""

from dataclasses import dataclass

from omegaconf import DictConfig

from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.splits import Split


@dataclass(frozen=True)
class Experiment:
    """A run's settled config, with the images and the split that it stands for.

    Attributes:
        config: The settled config, which is not changed any more.
        prepared: Index and groups of the images.
        split: The ids of each part.
    """

    config: DictConfig
    prepared: PreparedData
    split: Split

    @property
    def hashes(self) -> dict[str, str]:
        """Hashes of data, split and predicted masks, named as in status.json."""
        masks = {"masks": self.prepared.predicted_by} if self.prepared.predicted_by else {}
        return {"data": self.prepared.content, "split": self.split.hash} | masks
