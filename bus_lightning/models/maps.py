"""From the logits of a mask to the mask at an image's own resolution, and to the score of its lesion."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from bus_lightning.core.class_names import HEALTHY

THRESHOLD = 0.5


def full_size(probability: Tensor, box: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Resize a map from the network's square to the image's own resolution.

    Args:
        probability: (1, size, size) float32 in [0, 1].
        box: Where the image is in the square: top, left, height, width.
        shape: (H, W) of the image.

    Returns:
        (H, W) float32 in [0, 1].
    """
    top, left, height, width = box
    inside = probability[None, :, top : top + height, left : left + width]
    return functional.interpolate(inside, size=tuple(shape), mode="bilinear", align_corners=False)[0, 0]


def predicted_mask(probability: Tensor, box: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Threshold `full_size` at 0.5, (H, W) bool; the arguments are the same."""
    return full_size(probability, box, shape) >= THRESHOLD


def lesion_scores(heads: dict[str, Tensor], classes: Sequence[str]) -> Tensor:
    """Score how sure it is that each image has a lesion at all, (B,) in [0, 1].

    The score is the highest probability of a pixel. If the network also predicts classes, and one of them is `normal`,
    it is multiplied by the probability of all other classes.

    Args:
        heads: Logits by head: `mask` (B, 1, H, W), and `class` (B, K) if the network predicts classes.
        classes: Names of the K classes, in the order of the logits.
    """
    scores = heads["mask"].amax(dim=(1, 2, 3)).sigmoid()
    if "class" in heads and HEALTHY in classes:
        scores = scores * (1 - heads["class"].softmax(dim=1)[:, classes.index(HEALTHY)])
    return scores
