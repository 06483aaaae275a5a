"""How far the outline of a segmented lesion is from the true one, in per cent of the image's diagonal."""

import logging
import math
import warnings

from torch import Tensor

logging.getLogger("alembic").setLevel(logging.WARNING)  # MONAI imports Optuna where it is, whose library says each step
TOLERANCE = 1.0  # per cent of the diagonal, within which two outlines agree: about 7 pixels of a 500 x 500 image
MISSED = 100.0  # a miss costs the whole diagonal, else the worst networks would be excused


def surface_scores(answer: Tensor, truth: Tensor) -> dict[str, float | None]:
    """Measure the distance between two outlines.

    Args:
        answer: (H, W) bool.
        truth: (H, W) bool or uint8 in {0, 1}.

    Returns:
        `hd95`: 95th percentile of the distances between the outlines (the larger of both directions), in per cent of
        the diagonal, 100 where the lesion was missed, that is, where not a pixel of it was found; `surface_dice`: share
        of both outlines that lies within 1% of the diagonal of the other, 0 where the lesion was missed. Both None for
        an image without a lesion.

    References:
        Huttenlocher et al., Comparing images using the Hausdorff distance, 1993. Nikolov et al., Deep learning to
        achieve clinically applicable segmentation of head and neck anatomy for radiotherapy, 2018.
    """
    lesion, found = truth.bool().cpu(), answer.bool().cpu()
    if not lesion.any():
        return {"hd95": None, "surface_dice": None}
    if not (found & lesion).any():
        return {"hd95": MISSED, "surface_dice": 0.0}
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # seconds, for a segmenter's test only
    from monai.metrics.surface_dice import compute_surface_dice

    diagonal = math.hypot(*truth.shape)
    answered, true = (mask[None, None].float() for mask in (found, lesion))
    thresholds = [diagonal * TOLERANCE / 100]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 uses an option that it deprecates itself
        distance = compute_hausdorff_distance(answered, true, include_background=True, percentile=95)
        near = compute_surface_dice(answered, true, thresholds, include_background=True)
    return {"hd95": 100 * float(distance) / diagonal, "surface_dice": float(near)}
