"""Outline the lesion."""

from io import BytesIO
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch import Tensor
from torch.nn import functional

from bus_lightning.core.errors import UserError
from bus_lightning.metrics.surface import surface_scores
from bus_lightning.tasks.base import Batch, BusTask, Logits
from bus_lightning.tasks.processes import interleaved

THRESHOLD = 0.5


class SegmentationTask(BusTask):
    """Train a segmenter; its network returns logits (B, 1, H, W).

    Args:
        deep_supervision: Let the loss see every side output (B, S, H, W) of networks that have `side_logits`.
        options: Those of `BusTask`.

    Raises:
        UserError: When the network has no side outputs to supervise.
    """

    def __init__(self, *, deep_supervision: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.deep_supervision = deep_supervision
        self.answers: dict[str, bytes] = {}  # PNG of the mask of each image that was evaluated after training
        if deep_supervision and not hasattr(self.net, "side_logits"):
            raise UserError("task.deep_supervision=true needs a network with side outputs: u2net_lite or u2net.")

    def training_logits(self, image: Tensor) -> Tensor:
        """Return the fused logits (B, 1, H, W), or all side outputs (B, S, H, W)."""
        if not self.deep_supervision:
            return self(image)
        sides: Tensor = self.net.side_logits(image.to(memory_format=self.memory_format))  # type: ignore[operator]
        return sides

    def target(self, batch: Batch) -> Tensor:
        """Pick the masks, (B, 1, H, W) float32 in {0, 1}."""
        masks: Tensor = batch["mask"]
        return masks

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Name the logits: `mask`."""
        return {"mask": logits}

    def training_scores(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Tell the shares of true and false positives and negatives among the pixels of the square."""
        answer, lesion = logits[:, :1] >= 0, batch["mask"] > 0  # the fused output, where there are several
        kinds = {"tp": answer & lesion, "fp": answer & ~lesion, "fn": ~answer & lesion, "tn": ~answer & ~lesion}
        # Not named `tp` and so on, because an evaluation uses these names for counts.
        return {f"{name}_share": pixels.float().mean() for name, pixels in kinds.items()}

    def rows(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Make a row per image, at its own resolution: `id`, `label`, counts of pixels.

        After training, also how far the outlines are apart, which takes longer; and `answers` keeps the masks.
        """
        found = []
        described = zip(batch["id"], batch["label"].tolist(), strict=True)
        seen = zip(logits.sigmoid(), batch["box"].tolist(), batch["full_mask"], strict=True)
        for (id_, label), (probability, box, truth) in zip(described, seen, strict=True):
            answer = restore(probability, box, truth.shape)
            row: dict[str, Any] = {"id": id_, "label": self.classes[label], **count_pixels(answer, truth)}
            if self.trainer.state.fn != TrainerFn.FITTING:
                row |= surface_scores(answer, truth)
                self.answers[id_] = _png(answer)
            found.append(row)
        return found

    def on_test_epoch_end(self) -> None:
        """Log the metrics of all cases, and bring their masks together."""
        super().on_test_epoch_end()
        self.answers = dict(interleaved(self.trainer, list(self.answers.items())))


def restore(probability: Tensor, box: list[int], shape: tuple[int, ...]) -> Tensor:
    """Bring a map from the network's square back to the image's own resolution, and cut it at 0.5.

    Args:
        probability: (1, size, size) float32 in [0, 1].
        box: Where the image lies in the square: top, left, height, width.
        shape: (H, W) of the image.

    Returns:
        (H, W) bool.
    """
    top, left, height, width = box
    inside = probability[None, :, top : top + height, left : left + width]
    return functional.interpolate(inside, size=tuple(shape), mode="bilinear", align_corners=False)[0, 0] >= THRESHOLD


def count_pixels(answer: Tensor, truth: Tensor) -> dict[str, int]:
    """Count true and false positives and negatives.

    Args:
        answer: (H, W) bool.
        truth: (H, W) uint8 in {0, 1}.
    """
    lesion = truth.to(answer.device, torch.bool)
    # One answer for three questions: each would wait for the device.
    tp, predicted, actual = torch.stack([pixels.sum() for pixels in (answer & lesion, answer, lesion)]).tolist()
    return {"tp": tp, "fp": predicted - tp, "fn": actual - tp, "tn": answer.numel() - predicted - actual + tp}


def _png(mask: Tensor) -> bytes:
    """Encode a mask, (H, W) bool, with a bit per pixel."""
    stream = BytesIO()
    Image.fromarray(mask.cpu().numpy()).save(stream, format="png")
    return stream.getvalue()
