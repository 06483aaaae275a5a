"""Outline the lesion in an image."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import pandas as pd
import torch
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch import Tensor
from torchmetrics.functional.classification import binary_stat_scores

from bus_lightning.core.errors import UserError
from bus_lightning.metrics.columns import BEFORE_RULE, LESION_SCORE
from bus_lightning.metrics.lesions import count_lesions
from bus_lightning.metrics.millimetres import millimetre_scores
from bus_lightning.metrics.no_lesion import LesionRule, choose_rule
from bus_lightning.metrics.surface import surface_scores
from bus_lightning.models.maps import THRESHOLD, full_size, lesion_scores
from bus_lightning.tasks.base import Batch, BusTask, Logits
from bus_lightning.tasks.processes import interleave


class SegmentationTask(BusTask):
    """Train a segmenter; its network returns logits (B, 1, H, W).

    Args:
        deep_supervision: Apply the loss to every side output (B, S, H, W) of a network with `side_logits`.
        scores_lesions: Add the columns of the no-lesion rule to the rows of evaluations after training; the rule is
            applied once `least_score` is set.
        options: Those of `BusTask`.

    Raises:
        UserError: If deep supervision is on and the network has no side outputs.
    """

    def __init__(self, *, deep_supervision: bool = False, scores_lesions: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.deep_supervision = deep_supervision
        self.scores_lesions, self.least_score = scores_lesions, 0.0
        self.predicted_masks: dict[str, bytes] = {}  # id -> PNG of the predicted mask, from evaluations after training
        if deep_supervision and not hasattr(self.net, "side_logits"):
            raise UserError("task.deep_supervision=true needs a network with side outputs: u2net_lite or u2net.")

    def training_logits(self, image: Tensor) -> Tensor:
        """Return the fused logits (B, 1, H, W), or all side outputs (B, S, H, W)."""
        if not self.deep_supervision:
            return self(image)
        sides: Tensor = self.net.side_logits(image.to(memory_format=self.memory_format))  # type: ignore[operator]
        return sides

    def target(self, batch: Batch) -> Tensor:
        """Return the masks, (B, 1, H, W) float32 in {0, 1}."""
        masks: Tensor = batch["mask"]
        return masks

    def heads(self, logits: Logits) -> dict[str, Tensor]:
        """Return the logits of the head `mask`."""
        return {"mask": logits}

    def training_scores(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the shares of true and false positives and negatives among the pixels of the square."""
        predicted, lesion = logits[:, :1] >= 0, batch["mask"] > 0  # of several side outputs, the fused one
        counts = binary_stat_scores(predicted.int(), lesion.int(), validate_args=False)[:4]
        tp, fp, tn, fn = counts / predicted.numel()
        # Not named `tp` and so on: in evaluations, these are names of counts.
        return {"tp_share": tp, "fp_share": fp, "fn_share": fn, "tn_share": tn}

    def lesion_scores(self, heads: dict[str, Tensor]) -> Tensor:
        """Score how sure it is that each image has a lesion at all, (B,) in [0, 1]; see `models.maps`."""
        return lesion_scores(heads, self.classes)

    def adopt_rule(self, cases: pd.DataFrame, cost: float) -> LesionRule:
        """Choose the no-lesion rule on validation cases of the task, and apply it from now on; see `choose_rule`."""
        rule = choose_rule(cases, cost)
        self.least_score = rule.least_score
        return rule

    def finish(self, heads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Empty the masks of images whose lesion score is too low."""
        if not self.least_score:
            return heads
        is_doubtful = self.lesion_scores(heads) < self.least_score
        return heads | {"mask": heads["mask"].masked_fill(is_doubtful[:, None, None, None], -torch.inf)}

    def rows(self, heads: dict[str, Tensor], batch: Batch) -> list[dict[str, Any]]:
        """Return a row per image, at its own resolution: `id`, `label`, counts of pixels.

        After training, also the slower distances between the outlines, the lesions that were found, and millimetres if
        the size of a pixel is known; and `predicted_masks` keeps the masks. The no-lesion rule adds the score and the
        counts without the rule.
        """
        shapes = [mask.shape for mask in batch["full_mask"]]
        maps = map(full_size, heads["mask"].sigmoid(), batch["box"].tolist(), shapes)
        return self.rows_of_maps(maps, batch, self.lesion_scores(heads).tolist(), self.least_score)

    def rows_of_maps(
        self, maps: Iterable[Tensor], batch: Batch, scores: Sequence[float], least_score: float
    ) -> list[dict[str, Any]]:
        """Make the rows of `rows`.

        Args:
            maps: For each image, the probability of a lesion at its own resolution, (H, W) float32.
            batch: The images.
            scores: For each image, its lesion score, in [0, 1].
            least_score: The no-lesion rule empties the masks of images with a lower score, if the task scores lesions.
        """
        rows = []
        labels = [self.classes[label] for label in batch["label"].tolist()]
        sizes = batch.get("mm_per_pixel", [None] * len(labels))
        is_after_training = self.trainer.state.fn != TrainerFn.FITTING
        has_rule = self.scores_lesions and is_after_training
        images = zip(batch["id"], labels, maps, batch["full_mask"], sizes, scores, strict=True)
        for id_, label, probability, mask, mm_per_pixel, score in images:
            predicted = probability >= THRESHOLD
            row: dict[str, Any] = {"id": id_, "label": label, **count_pixels(predicted, mask)}
            if has_rule:
                row |= {LESION_SCORE: score, **{before: row[name] for name, before in BEFORE_RULE.items()}}
                if score < least_score:
                    predicted = torch.zeros_like(predicted)
                    row |= count_pixels(predicted, mask)
            if is_after_training:
                row |= surface_scores(predicted, mask)
                row |= count_lesions(predicted.cpu().numpy(), mask.cpu().numpy())
                if mm_per_pixel is not None:
                    row |= millimetre_scores(predicted, mask, tuple(mm_per_pixel))
                self.predicted_masks[id_] = _encode_png(predicted)
            rows.append(row)
        return rows

    def on_test_epoch_end(self) -> None:
        """Log the metrics of all cases, and join their masks over all processes."""
        super().on_test_epoch_end()
        self.predicted_masks = dict(interleave(self.trainer, list(self.predicted_masks.items())))


def count_pixels(predicted: Tensor, mask: Tensor) -> dict[str, int]:
    """Count true and false positives and negatives.

    Args:
        predicted: (H, W) bool.
        mask: Ground truth, (H, W) uint8 in {0, 1}.
    """
    lesion = mask.to(predicted.device, torch.bool)
    # A single transfer for all three sums, because each transfer waits for the device.
    tp, positive, actual = torch.stack([x.sum() for x in (predicted & lesion, predicted, lesion)]).tolist()
    return {"tp": tp, "fp": positive - tp, "fn": actual - tp, "tn": predicted.numel() - positive - actual + tp}


def _encode_png(mask: Tensor) -> bytes:
    """Encode a mask, (H, W) bool, with a bit per pixel."""
    stream = BytesIO()
    Image.fromarray(mask.cpu().numpy()).save(stream, format="png")
    return stream.getvalue()
