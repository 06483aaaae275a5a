"""Scores within strata of the test images, all on the same draws, so that two strata can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.metrics.columns import Bools, Floats, has_lesion
from bus_lightning.metrics.per_case import weighted_metrics
from bus_lightning.statistics.intervals import group_draws, percentile_interval
from bus_lightning.statistics.summary import DRAWS

LEAST = 10  # images: a score of fewer says nothing
_AUC = "malignant_vs_benign_auroc"


@dataclass(frozen=True, eq=False)
class Score:
    """A metric in a stratum.

    Attributes:
        n: Number of images that count for it.
        groups: Number of their groups.
        value: Mean over the replicates; NaN if it is undefined, or n is below `LEAST`.
        draws: (D,) the metric in each draw of groups.
    """

    n: int
    groups: int
    value: float
    draws: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval."""
        return (float("nan"), float("nan")) if np.isnan(self.value) else percentile_interval(self.draws)

    def minus(self, other: "Score") -> tuple[float, float, float]:
        """Return the difference from the score of another stratum, with its 95% interval."""
        difference = self.value - other.value
        if np.isnan(difference):
            return (float("nan"),) * 3
        return difference, *percentile_interval(self.draws - other.draws)


def metrics_in_strata(task: str, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that are shown in strata."""
    if task == "segmentation":
        return ("dice_image",)
    return ("accuracy", _AUC) if {BENIGN, MALIGNANT} <= set(classes) else ("accuracy",)


def score_strata(
    cases: pd.DataFrame, strata: Mapping[str, set[str]], metrics: Sequence[str], draws: int = DRAWS
) -> dict[tuple[str, str], Score]:
    """Score each stratum.

    Args:
        cases: Cases of one part and one task, with `id`, `group`, `label` and `replicate`.
        strata: Name -> ids.
        metrics: Keys of the catalogue.
        draws: Draws of the bootstrap over groups; they are drawn from all cases, so that all strata have the same.

    Returns:
        (stratum, metric) -> score.
    """
    # Not within classes: a group of several classes may be alone in its combination of classes, and then each draw has
    # it once. In a small stratum this would leave no spread.
    groups, times = group_draws(cases["group"].tolist(), [""] * len(cases), draws)
    scores = {}
    for name, ids in strata.items():
        inside = cases[cases["id"].isin(ids)]
        for metric in metrics:
            counting = inside[_counts_for(metric, inside)]
            images = counting.drop_duplicates("id")
            values = np.full(draws + 1, np.nan)
            if len(images) >= LEAST:
                tables = [table for _, table in counting.groupby("replicate")]
                each = [_compute(metric, table, times[:, np.searchsorted(groups, table["group"])]) for table in tables]
                values = np.mean(each, axis=0)
            scores[name, metric] = Score(len(images), images["group"].nunique(), float(values[0]), values[1:])
    return scores


def _counts_for(metric: str, cases: pd.DataFrame) -> Bools:
    """Select the cases that count for a metric."""
    if metric == _AUC:
        return cases["label"].isin([BENIGN, MALIGNANT]).to_numpy()
    if metric == "dice_image":
        return has_lesion(cases).to_numpy()
    return np.ones(len(cases), bool)


def _compute(metric: str, cases: pd.DataFrame, times: Floats) -> Floats:
    """Compute a metric of the cases themselves, and of each draw: (1 + D,)."""
    weights = np.concatenate([np.ones((1, len(cases))), times])
    return weighted_metrics(cases, weights, (metric,))[metric]
