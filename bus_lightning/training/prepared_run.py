"""What a run is made of, before anything is trained."""

from dataclasses import dataclass

from omegaconf import DictConfig

from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.splits import Split
from bus_lightning.runs.protocol import Protocol


@dataclass(frozen=True)
class PreparedRun:
    """A run's settled config, with the images and the split that it stands for.

    Attributes:
        config: The settled config, which is not changed any more.
        data: Index and groups of the images.
        split: The ids of each part.
        protocol: The protocol of its study, if it has one.
    """

    config: DictConfig
    data: PreparedData
    split: Split
    protocol: Protocol | None = None

    @property
    def hashes(self) -> dict[str, str]:
        """Hashes of data, split and predicted masks, named as in status.json."""
        masks = {"masks": self.data.predicted_by} if self.data.predicted_by else {}
        return {"data": self.data.content, "split": self.split.hash} | masks

    @property
    def is_validated(self) -> bool:
        """Whether epochs are validated: there are validation images, and no limit turns them off."""
        return bool(self.split.val) and self.config.trainer.limit_val_batches != 0
