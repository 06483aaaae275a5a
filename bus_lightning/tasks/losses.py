"""Losses for segmentation, and for mask and class together, from logits.

With deep supervision the network returns S maps for one mask. The losses **average** over the maps (Qin et al. sum
them), so their scale, and the best learning rate, are the same with and without deep supervision.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class SoftDiceLoss(nn.Module):
    """One minus the soft Dice coefficient of each map, averaged over images and maps.

    For an empty mask and n pixels predicted as lesion, the loss is about n / (n + smooth).

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
        """Compute the loss in float32, also under autocast.

        Args:
            logits: (B, S, H, W) float, before the sigmoid; S = 1, or S side outputs for one mask.
            mask: (B, 1, H, W) in {0, 1}, of any dtype.

        Returns:
            Scalar in [0, 1].

        Raises:
            ValueError: If the shapes do not match.
        """
        _check_shapes(logits, mask)
        probability, lesion = logits.float().sigmoid(), mask.float()
        overlap = (probability * lesion).sum(dim=(2, 3))  # (B, S), as the next two
        total = probability.sum(dim=(2, 3)) + lesion.sum(dim=(2, 3))
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
        bce: Tensor = F.binary_cross_entropy_with_logits(logits.float(), mask.float().expand_as(logits))
        dice: Tensor = self.dice(logits, mask)
        return self.dice_weight * dice + self.bce_weight * bce


class JointLoss(nn.Module):
    """A weighted sum of a mask's loss and the cross-entropy of the class, for a network that predicts both.

    Args:
        mask: Loss of the mask: (logits, mask) -> scalar.
        mask_weight: Factor of the mask's loss.
        class_weight: Factor of the cross-entropy.
        label_smoothing: Of the cross-entropy, in [0, 1].
        weight: (K,) float, weight of each class in the cross-entropy; None weighs all equally.
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
        (mask_logits, class_logits), (mask, label) = logits, target
        mask_loss: Tensor = self.mask(mask_logits, mask)
        class_loss: Tensor = self.cross_entropy(class_logits, label)
        return self.mask_weight * mask_loss + self.class_weight * class_loss


def _check_shapes(logits: Tensor, mask: Tensor) -> None:
    """Refuse shapes that broadcasting would turn into a wrong number."""
    expected = (logits.shape[0], 1, *logits.shape[2:])
    if logits.ndim != 4 or tuple(mask.shape) != expected:
        raise ValueError(
            f"Logits must be (B, S, H, W) and the mask (B, 1, H, W), got {tuple(logits.shape)} and {tuple(mask.shape)}."
        )
