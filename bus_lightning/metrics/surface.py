"""The distance between the outlines of a predicted and a ground-truth lesion, in per cent of the image's diagonal."""

import logging
import math
import warnings

from torch import Tensor

logging.getLogger("alembic").setLevel(
    logging.WARNING
)  # MONAI imports Optuna if it is installed, and its alembic logs each step
TOLERANCE = 1.0  # per cent of the diagonal within which two outlines agree: about 7 pixels of a 500 x 500 image
MISSED = 100.0  # a missed lesion costs the whole diagonal; left out, it would make the worst networks look better


def surface_scores(predicted: Tensor, truth: Tensor) -> dict[str, float | None]:
    """Measure the distance between two outlines.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool or uint8 in {0, 1}.

    Returns:
        `hd95`: 95th percentile of the distances between the outlines (the larger of both directions), in per cent of
        the diagonal, 100 for a missed lesion, of which no pixel was predicted; `surface_dice`: share of both outlines
        that lies within 1% of the diagonal of the other, 0 for a missed lesion. Both are None without a lesion.

    References:
        Huttenlocher et al., Comparing images using the Hausdorff distance, 1993. Nikolov et al., Deep learning to
        achieve clinically applicable segmentation of head and neck anatomy for radiotherapy, 2018.
    """
    lesion, prediction = truth.bool().cpu(), predicted.bool().cpu()
    if not lesion.any():
        return {"hd95": None, "surface_dice": None}
    if not (prediction & lesion).any():
        return {"hd95": MISSED, "surface_dice": 0.0}
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # takes seconds
    from monai.metrics.surface_dice import compute_surface_dice

    diagonal = math.hypot(*truth.shape)
    predicted, true = (mask[None, None].float() for mask in (prediction, lesion))
    thresholds = [diagonal * TOLERANCE / 100]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 uses an option that it deprecates itself
        distance = compute_hausdorff_distance(predicted, true, include_background=True, percentile=95)
        near = compute_surface_dice(predicted, true, thresholds, include_background=True)
    return {"hd95": 100 * float(distance) / diagonal, "surface_dice": float(near)}
