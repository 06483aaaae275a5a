"""The distance between the outlines of a predicted and a ground-truth lesion, in per cent of the image's diagonal."""

import math
import warnings

from torch import Tensor

from bus_lightning.core.workarounds import quiet_alembic

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
    diagonal = math.hypot(*truth.shape)
    distance, near = compare_outlines(predicted, truth, diagonal * TOLERANCE / 100)
    if distance is None:
        return {"hd95": None, "surface_dice": None}
    return {"hd95": MISSED if distance == math.inf else 100 * distance / diagonal, "surface_dice": near}


def compare_outlines(
    predicted: Tensor, truth: Tensor, tolerance: float, spacing: tuple[float, float] | None = None
) -> tuple[float | None, float | None]:
    """Measure how far two outlines are apart, and how much of them agrees.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool or uint8 in {0, 1}.
        tolerance: Distance within which outlines agree.
        spacing: Height and width of a pixel, in the unit of the tolerance; None for pixels.

    Returns:
        95th percentile of the distances, infinite for a missed lesion; share of both outlines that lies within the
        tolerance of the other, 0 for a missed lesion. Both are None without a lesion.
    """
    lesion, prediction = truth.bool().cpu(), predicted.bool().cpu()
    if not lesion.any():
        return None, None
    if not (prediction & lesion).any():
        return math.inf, 0.0
    quiet_alembic()
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # takes seconds
    from monai.metrics.surface_dice import compute_surface_dice

    predicted, true = (mask[None, None].float() for mask in (prediction, lesion))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 uses an option that it deprecates itself
        distance = compute_hausdorff_distance(predicted, true, include_background=True, percentile=95, spacing=spacing)
        near = compute_surface_dice(predicted, true, [tolerance], include_background=True, spacing=spacing)
    return float(distance), float(near)
