"""Count the lesions of an image that a predicted mask finds, and its false lesions."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bus_lightning.metrics.columns import Bools

SMALLEST = 1e-4  # share of the image: 22 masks of BUSI have specks of up to 8 pixels; its smallest lesion covers 0.2%
FOUND, WELL_FOUND = 0.1, 0.5  # IoU of a lesion and a part of the prediction
RULE = (
    "A lesion is a connected component (8 neighbours) of the mask that covers at least 0.01% of the image. Each lesion "
    "is matched with at most one component of the prediction: it is found if their IoU is at least 0.1. A component of "
    "the prediction without a lesion is a false lesion."
)


def count_lesions(predicted: Bools, truth: NDArray[np.generic]) -> dict[str, int]:
    """Count lesions and false lesions by `RULE`.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool or uint8 in {0, 1}.

    Returns:
        `lesions` of the ground truth; `lesions_found` of them; `lesions_well_found`: those with an IoU of at least 0.5;
        `false_lesions`: components of the prediction that match no lesion.
    """
    lesions, parts = _components(truth), _components(predicted)
    overlaps = np.array([[_iou(lesion, part) for part in parts] for lesion in lesions]).reshape(
        len(lesions), len(parts)
    )
    found, well_found = (_count_pairs(overlaps >= least) for least in (FOUND, WELL_FOUND))
    return {
        "lesions": len(lesions),
        "lesions_found": found,
        "lesions_well_found": well_found,
        "false_lesions": len(parts) - found,
    }


def _components(mask: NDArray[np.generic]) -> list[Bools]:
    """Divide a mask into its connected components, without specks."""
    number, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    least = SMALLEST * mask.size
    return [labels == label for label in range(1, number) if boxes[label, cv2.CC_STAT_AREA] >= least]


def _iou(first: Bools, second: Bools) -> float:
    return float(np.count_nonzero(first & second) / np.count_nonzero(first | second))


def _count_pairs(fits: Bools) -> int:
    """Count the most pairs of a row and a column that fit, with each row and column in one pair at most."""
    rows, columns = linear_sum_assignment(fits, maximize=True)
    return int(fits[rows, columns].sum())
