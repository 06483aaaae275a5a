"""The classical paired tests: McNemar, DeLong, and Wilcoxon's signed-rank test.

They take images as independent, so they get one image of each near-duplicate group.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, wilcoxon

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.metrics.columns import PROBABILITY, answers_of, classes_of, dice_of, has_lesion
from bus_lightning.statistics.delong import delong

_MALIGNANT = f"{PROBABILITY}{MALIGNANT}"


def paired_tests(task: str, a: pd.DataFrame, b: pd.DataFrame) -> tuple[int, dict[str, float]]:
    """Test correct predictions (McNemar) and AUC of malignant (DeLong) of two conditions, or their Dice (Wilcoxon).

    Args:
        task: classification or segmentation.
        a: Cases of one condition, of independent images.
        b: Cases of the other condition, of the same images in the same order.

    Returns:
        The number of images that were tested, for segmentation those with a lesion; and the two-sided p of each test
        by its name, unadjusted, NaN where undefined.
    """
    if task == "segmentation":
        lesion = has_lesion(a)
        differences = dice_of(a[lesion]) - dice_of(b[lesion])
        if not differences.any():
            return len(differences), {"wilcoxon": 1.0 if len(differences) else np.nan}
        return len(differences), {"wilcoxon": float(wilcoxon(differences).pvalue)}
    right_a, right_b = (answers_of(cases) == cases["label"].to_numpy() for cases in (a, b))
    p = {"mcnemar": mcnemar(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())), "delong": np.nan}
    if MALIGNANT in classes_of(a):
        p["delong"] = delong(a["label"] == MALIGNANT, a[_MALIGNANT], b[_MALIGNANT]).p
    return len(a), p


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test.

    Args:
        only_first: Number of images that only the first of two models gets right.
        only_second: Number of images that only the second gets right.
    """
    disagreements = only_first + only_second
    return float(binomtest(only_first, disagreements).pvalue) if disagreements else 1.0
