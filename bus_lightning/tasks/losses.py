"""Losses for segmentation, and for mask and class together, from logits.

With deep supervision the network gives S maps for one mask: every loss here takes them and
**averages** over the maps (Qin et al. sum them), so that its scale, and with it the learning rate,
is the same with and without.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class SoftDiceLoss(nn.Module):
    """One minus the soft Dice coefficient of each map, averaged over images and maps.

    An empty mask is not free: with n pixels answered lesion, its loss is n / (n + smooth).

    Args:
        smooth: Added to both sums, in pixels; must be above 0, or an empty mask divides by zero.

    References:
        Milletari et al., V-Net, 2016, equation 3, without the squares in the denominator.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f"smooth must be above 0, got {smooth}.")
        self.smooth = smooth

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss in float32, whatever autocast says.

        Args:
            logits: (B, S, H, W) float, before the sigmoid; S = 1, or more side outputs of one mask.
            mask: (B, 1, H, W) in {0, 1}, of any dtype.

        Returns:
            Scalar in [0, 1].

        Raises:
            ValueError: The shapes do not fit together.
        """
        _check_shapes(logits, mask)
        lesion, truth = logits.float().sigmoid(), mask.float()
        overlap = (lesion * truth).sum(dim=(2, 3))  # (B, S), as the next two
        total = lesion.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
        dice = (2 * overlap + self.smooth) / (total + self.smooth)
        return (1 - dice).mean()


class DiceBCELoss(nn.Module):
    """A weighted sum of the soft Dice loss and the binary cross-entropy per pixel.

    Args:
        dice_weight: Factor of the Dice loss.
        bce_weight: Factor of the cross-entropy.
        smooth: Of the Dice loss, in pixels, above 0.
    """

    def __init__(self, dice_weight: float = 0.5, bce_weight: float = 0.5, smooth: float = 1.0) -> None:
        super().__init__()
        self.dice_weight = dice_weight
        self.bce_weight = bce_weight
        self.dice = SoftDiceLoss(smooth)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss in float32; arguments and errors are those of `SoftDiceLoss`.

        Returns:
            Scalar, at least 0.
        """
        _check_shapes(logits, mask)
        truth = mask.float().expand_as(logits)
        bce: Tensor = F.binary_cross_entropy_with_logits(logits.float(), truth)
        dice: Tensor = self.dice(logits, mask)
        return self.dice_weight * dice + self.bce_weight * bce


class JointLoss(nn.Module):
    """A weighted sum of a mask's loss and the cross-entropy of the class, for a network that answers both.

    Args:
        mask: Loss of the mask: (logits, mask) -> scalar.
        mask_weight: Factor of the mask's loss.
        class_weight: Factor of the cross-entropy.
        label_smoothing: Of the cross-entropy, in [0, 1].
        weight: (K,) float, how much each class counts in the cross-entropy; None counts all the same.
    """

    def __init__(
        self,
        mask: nn.Module,
        mask_weight: float = 1.0,
        class_weight: float = 1.0,
        label_smoothing: float = 0.0,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.mask, self.cross_entropy = mask, nn.CrossEntropyLoss(weight, label_smoothing=label_smoothing)
        self.mask_weight, self.class_weight = mask_weight, class_weight

    def forward(self, logits: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        """Compute the loss.

        Args:
            logits: Of the mask (B, S, H, W) and of K classes (B, K), float.
            target: Masks (B, 1, H, W) in {0, 1} and labels (B,) int64.

        Returns:
            Scalar.
        """
        (mask, class_), (truth, label) = logits, target
        loss: Tensor = self.mask_weight * self.mask(mask, truth) + self.class_weight * self.cross_entropy(class_, label)
        return loss


def _check_shapes(logits: Tensor, mask: Tensor) -> None:
    """Refuse what broadcasting would turn into a wrong number without a word."""
    expected = (logits.shape[0], 1, *logits.shape[2:])
    if logits.ndim != 4 or tuple(mask.shape) != expected:
        raise ValueError(
            f"Logits must be (B, S, H, W) and the mask (B, 1, H, W), got {tuple(logits.shape)} and {tuple(mask.shape)}."
        )
