"""Average the probabilities of several predictions of the same images, and return them as logits.

Everything that takes logits, such as losses, thresholds and pictures, then works on averages, too.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Logits = Any  # a tensor, or a tuple of tensors of a network with two heads
WIDTH = -1  # dimension of an image and a mask


def mean_logits(predictions: Sequence[Logits]) -> Logits:
    """Return the logits whose probabilities are the mean of those of several predictions.

    The mean is computed from logarithms, so that the logits of a sure prediction stay finite.

    Args:
        predictions: Logits of the same images: of a mask (B, 1, H, W), of K classes (B, K), or a tuple of both.

    Returns:
        Logits of the same shapes, float32.
    """
    first = predictions[0]
    if not isinstance(first, Tensor):
        return tuple(mean_logits(heads) for heads in zip(*predictions, strict=True))
    logits = torch.stack([prediction.float() for prediction in predictions])
    if first.ndim == 2:
        return functional.log_softmax(logits, dim=2).logsumexp(dim=0) - math.log(len(logits))
    return functional.logsigmoid(logits).logsumexp(dim=0) - functional.logsigmoid(-logits).logsumexp(dim=0)


def average_over_flips(predict: Callable[[Tensor], Logits], image: Tensor) -> Logits:
    """Average the probabilities over images and their mirror images, left and right exchanged.

    Args:
        predict: Returns the logits of a batch.
        image: (B, C, H, W).

    Returns:
        As `mean_logits`; the mask is that of the images as they are.
    """
    return mean_logits([predict(image), _mirror_masks(predict(image.flip(WIDTH)))])


def _mirror_masks(logits: Logits) -> Logits:
    """Mirror the logits of masks, and leave those of classes as they are."""
    if not isinstance(logits, Tensor):
        return tuple(map(_mirror_masks, logits))
    return logits.flip(WIDTH) if logits.ndim == 4 else logits
