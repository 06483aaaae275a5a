"""The columns of cases, a row per image, and the arithmetic that every metric shares."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
PROBABILITY = "prob_"
COUNTS = ("tp", "fp", "fn", "tn")
SURFACE = ("hd95", "surface_dice")
SIZES_MM = ("area_mm2", "long_axis_mm", "predicted_area_mm2", "predicted_long_axis_mm")
SURFACE_MM = ("hd95_mm", "surface_dice_1mm")
LESIONS = ("lesions", "lesions_found", "lesions_well_found", "false_lesions")  # connected components
MILLIMETRES = (*SIZES_MM, *SURFACE_MM)  # empty for an image whose pixel size is not known

LESION_SCORE = "lesion_score"  # of the no-lesion rule
BEFORE_RULE = {name: f"{name}_before_rule" for name in COUNTS}  # the counts without the rule


def classes_of(cases: pd.DataFrame) -> list[str]:
    """Return the classes, in the order of the labels, from the columns of cases."""
    return [name.removeprefix(PROBABILITY) for name in cases if name.startswith(PROBABILITY)]


def probabilities_of(cases: pd.DataFrame) -> Floats:
    """Return the probabilities of cases, (n, K) float64."""
    return cases[[f"{PROBABILITY}{name}" for name in classes_of(cases)]].to_numpy("float64")


def answers_of(cases: pd.DataFrame) -> NDArray[np.str_]:
    """Return the most probable class of each case, (n,)."""
    return np.array(classes_of(cases))[probabilities_of(cases).argmax(axis=1)]


def has_lesion(cases: pd.DataFrame) -> "pd.Series[bool]":
    """Say for each case whether its ground truth has a lesion, from its counts of pixels."""
    return cases["tp"] + cases["fn"] > 0


def has_both_tasks(cases: pd.DataFrame) -> bool:
    """Say whether cases hold classes and masks, as those of a joint network do."""
    return "tp" in cases and bool(classes_of(cases))


def cases_of_task(task: str, cases: pd.DataFrame) -> pd.DataFrame:
    """Drop the columns of the other task from the cases of a joint network.

    Args:
        task: classification or segmentation.
        cases: A row per image.
    """
    columns = (*COUNTS, *SURFACE, *LESIONS, *MILLIMETRES, LESION_SCORE, *BEFORE_RULE.values())
    of_pixels = [name for name in columns if name in cases]
    of_classes = [f"{PROBABILITY}{name}" for name in classes_of(cases)]
    return cases.drop(columns=of_pixels if task == "classification" else of_classes)


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; a division by zero gives NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def dice_of(cases: pd.DataFrame) -> Floats:
    """Compute the Dice coefficient of each image from its counts of pixels, 2 TP / (2 TP + FP + FN).

    Returns:
        (n,) float64 in [0, 1], NaN where there is no lesion and none was predicted.
    """
    tp, fp, fn = (cases[name].to_numpy("float64") for name in ("tp", "fp", "fn"))
    return ratio(2 * tp, 2 * tp + fp + fn)
