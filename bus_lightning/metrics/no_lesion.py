"""The no-lesion rule: empty a predicted mask if its lesion score is too low, so that normal images stay empty.

The threshold of the score is chosen on validation images after training. Only the lesions decide: the rule may lower
their mean Dice by a given amount, and the highest threshold within this limit empties the most masks of normal images.
A lesion whose score equals the threshold stays, but its Dice counts as lost: if this lesion were missing in the
validation set, the rule would lose it. Otherwise a small validation set would promise less loss than new images show.
"""

from dataclasses import dataclass

import pandas as pd

from bus_lightning.metrics.columns import (
    BEFORE_RULE,
    LESION_SCORE,
    LESIONS,
    MILLIMETRES,
    SURFACE,
    dice_of,
    has_lesion,
)


@dataclass(frozen=True)
class LesionRule:
    """A rule that was chosen on validation images.

    Attributes:
        least_score: The threshold. Masks with a lower lesion score are emptied; 0 empties none.
        lesions: Number of validation images with a lesion, which decided.
        normals: Number of validation images without a lesion.
    """

    least_score: float
    lesions: int
    normals: int


def choose_rule(cases: pd.DataFrame, cost: float) -> LesionRule:
    """Choose the threshold of the lesion score.

    The result lies halfway between the score of the last lesion that may be lost and the next lower score of an image,
    so that rounding does not decide.

    Args:
        cases: Validation images, with `lesion_score` and the counts before the rule.
        cost: How much of the mean Dice over lesions the rule may cost, in [0, 1].
    """
    before = without_rule(cases)
    scores = cases[LESION_SCORE]
    is_lesion = has_lesion(before)
    lesions = pd.DataFrame({"score": scores[is_lesion], "dice": dice_of(before[is_lesion])})
    lost = lesions.groupby("score")["dice"].sum().sort_index().cumsum() / max(1, len(lesions))
    allowed = lost.index[lost <= cost]
    least = 0.0
    if len(allowed):
        lower = scores[scores < allowed[-1]]
        least = (float(allowed[-1]) + float(lower.max() if len(lower) else allowed[-1])) / 2
    return LesionRule(least, int(is_lesion.sum()), int((~is_lesion).sum()))


def without_rule(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases as they are without the rule: counts of pixels, but no distances and no counts of lesions."""
    columns = (*SURFACE, *LESIONS, *MILLIMETRES, LESION_SCORE, *BEFORE_RULE.values())
    others = [name for name in columns if name in cases]
    return cases.assign(**{name: cases[before] for name, before in BEFORE_RULE.items()}).drop(columns=others)
