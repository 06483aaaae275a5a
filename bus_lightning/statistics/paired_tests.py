"""The classical paired tests: McNemar, DeLong, and Wilcoxon's signed-rank test.

They take images as independent, so they get one image of each near-duplicate group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest, wilcoxon

from bus_lightning.metrics.columns import Bools, classes_of, dice_of, probabilities_of
from bus_lightning.statistics.delong import delong


@dataclass(frozen=True)
class PairedTest:
    """The result of a classical test of two conditions, A and B.

    Attributes:
        name: mcnemar, delong or wilcoxon.
        about: What it compares, with the values, in words.
        n: Number of images.
        p: Two-sided, unadjusted; NaN if undefined.
        reason: Why p is undefined; else empty.
    """

    name: str
    about: str
    n: int
    p: float
    reason: str = ""


def paired_tests(task: str, a: pd.DataFrame, b: pd.DataFrame) -> Iterator[PairedTest]:
    """Run the classical tests of a task.

    Args:
        task: classification or segmentation.
        a: Cases of condition A, of independent images.
        b: Cases of condition B, of the same images in the same order.
    """
    if task == "segmentation":
        yield _test_dice(a, b)
        return
    right_a, right_b = _is_right(a), _is_right(b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    about = f"right answers: {only_a} by A alone, {only_b} by B alone"
    yield PairedTest("mcnemar", about, len(a), mcnemar(only_a, only_b))
    about = "area under the ROC curve, malignant against rest"
    if "malignant" not in classes_of(a):
        yield PairedTest("delong", about, len(a), np.nan, "there is no class malignant")
        return
    result = delong(a["label"] == "malignant", a["prob_malignant"], b["prob_malignant"])
    about += f": {result.auc_a:.3f} and {result.auc_b:.3f}"
    yield PairedTest("delong", about, len(a), result.p, result.reason)


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test.

    Args:
        only_first: Number of images that only the first of two models gets right.
        only_second: Number of images that only the second gets right.
    """
    disagreements = only_first + only_second
    return float(binomtest(only_first, disagreements).pvalue) if disagreements else 1.0


def _is_right(cases: pd.DataFrame) -> Bools:
    """Compare the most probable class with the label; the classes may come in any order."""
    predicted = np.array(classes_of(cases))[probabilities_of(cases).argmax(axis=1)]
    return np.asarray(predicted == cases["label"])


def _test_dice(a: pd.DataFrame, b: pd.DataFrame) -> PairedTest:
    lesion = a["tp"] + a["fn"] > 0
    differences, about = dice_of(a[lesion]) - dice_of(b[lesion]), "Dice of the images with a lesion"
    if not len(differences):
        return PairedTest("wilcoxon", about, 0, np.nan, "no image has a lesion")
    p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return PairedTest("wilcoxon", f"{about}: median difference {np.median(differences):.3f}", len(differences), p)
