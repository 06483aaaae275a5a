"""The scores of one image in millimetres, where the size of a pixel is known."""

import math

from torch import Tensor

from bus_lightning.metrics.lesion_size import measure_lesion
from bus_lightning.metrics.surface import compare_outlines

TOLERANCE = 1.0  # mm within which two outlines agree


def millimetre_scores(predicted: Tensor, truth: Tensor, mm_per_pixel: tuple[float, float]) -> dict[str, float | None]:
    """Measure a ground truth and a prediction, and the distance between their outlines.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool or uint8 in {0, 1}.
        mm_per_pixel: Height and width of a pixel of these masks.

    Returns:
        `area_mm2` and `long_axis_mm` of the ground truth's largest lesion, 0 without one, and those of the prediction
        with `predicted_` in front; `hd95_mm`: as `hd95`, but for a missed lesion the image's diagonal in millimetres;
        `surface_dice_1mm`: as `surface_dice`, with a tolerance of 1 mm. The last two are None without a lesion.
    """
    diagonal = math.hypot(*(size * count for size, count in zip(mm_per_pixel, truth.shape, strict=True)))
    distance, near = compare_outlines(predicted, truth, TOLERANCE, mm_per_pixel)
    area, long_axis = measure_lesion(truth.cpu().numpy(), mm_per_pixel)
    predicted_area, predicted_long_axis = measure_lesion(predicted.cpu().numpy(), mm_per_pixel)
    return {
        "area_mm2": area,
        "long_axis_mm": long_axis,
        "predicted_area_mm2": predicted_area,
        "predicted_long_axis_mm": predicted_long_axis,
        "hd95_mm": diagonal if distance == math.inf else distance,
        "surface_dice_1mm": near,
    }
