"""The tests that the field knows, beside the bootstrap: McNemar, DeLong, Wilcoxon.

They take images as independent, so each is given one image of each near-duplicate group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest, wilcoxon

from bus_lightning.metrics.columns import classes_of, probabilities_of
from bus_lightning.statistics.delong import delong

_NAN = float("nan")


@dataclass(frozen=True)
class SideTest:
    """A known test beside the bootstrap: first replicate, one image (that of the smallest id) of each group.

    Attributes:
        name: mcnemar, delong or wilcoxon.
        about: What it compares and found, in words.
        n: Images that it takes.
        p: Two-sided, unadjusted; NaN where undefined.
        reason: Why it is undefined; else empty.
    """

    name: str
    about: str
    n: int
    p: float
    reason: str = ""


def side_tests(task: str, a: pd.DataFrame, b: pd.DataFrame) -> Iterator[SideTest]:
    """Run the tests that the field knows on the same independent images of both."""
    if task == "segmentation":
        yield _wilcoxon(a, b)
        return
    right_a, right_b = (  # each side may have the classes in an order of its own
        np.array(classes_of(one))[probabilities_of(one).argmax(axis=1)] == one["label"] for one in (a, b)
    )
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    about = f"right answers: {only_a} by A alone, {only_b} by B alone"
    yield SideTest("mcnemar", about, len(a), mcnemar(only_a, only_b))
    about = "area under the ROC curve, malignant against rest"
    if "malignant" not in classes_of(a):
        yield SideTest("delong", about, len(a), _NAN, "there is no class malignant")
        return
    found = delong(a["label"] == "malignant", a["prob_malignant"], b["prob_malignant"])
    about += f": {found.auc_a:.3f} and {found.auc_b:.3f}"
    yield SideTest("delong", about, len(a), found.p, found.reason)


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test.

    Args:
        only_first: Images that only the first of two models answers rightly.
        only_second: Images that only the second does.
    """
    disagreed = only_first + only_second
    return float(binomtest(only_first, disagreed).pvalue) if disagreed else 1.0


def _wilcoxon(a: pd.DataFrame, b: pd.DataFrame) -> SideTest:
    lesion = a["tp"] + a["fn"] > 0
    dice_a, dice_b = (2 * one["tp"] / (2 * one["tp"] + one["fp"] + one["fn"]) for one in (a[lesion], b[lesion]))
    differences, about = dice_a - dice_b, "Dice of the images with a lesion"
    if differences.empty:
        return SideTest("wilcoxon", about, 0, _NAN, "no image has a lesion")
    p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return SideTest("wilcoxon", f"{about}: median difference {differences.median():.3f}", len(differences), p)
