"""How far from calibrated a network looks by chance alone, and how often what it predicts happens."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bus_lightning.metrics.classification import BINS, equal_bins
from bus_lightning.metrics.columns import Bools, Floats, probabilities_of, ratio
from bus_lightning.statistics.intervals import in_draws, percentile_interval

_CHANCE_DRAWS = 1000


@dataclass(frozen=True)
class Bins:
    """Predictions in bins of equally many; (B,) each, without empty bins.

    Attributes:
        predicted: Mean predicted probability.
        observed: Share of the images for which the prediction came true.
        low, high: 95% interval of that share, bootstrap over groups.
        number: Predictions in the bin.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    number: Floats


def bin_predictions(cases: pd.DataFrame, predicted: Floats, happened: Bools, draws: int = 1000) -> Bins:
    """Compare predicted probabilities with what happened, in ten bins of equally many images.

    Args:
        cases: Columns `group` and `label`; replicates are pooled.
        predicted: (n,) predicted probability.
        happened: (n,) whether it came true.
        draws: Draws of the bootstrap; the bins stay the same in them.

    References:
        Van Calster et al., "Calibration: the Achilles heel of predictive analytics", BMC Medicine 17 (2019) 230.
    """
    members = np.eye(BINS)[equal_bins(predicted)]
    members = members[:, members.any(axis=0)]

    def shares_in(weights: Floats) -> Floats:
        return ratio(weights @ (members * happened[:, None]), weights @ members)

    shares = in_draws(cases, draws, shares_in, np.float64)
    low, high = np.array([percentile_interval(column) for column in shares[1:].T]).T
    number = members.sum(axis=0)
    return Bins((members * predicted[:, None]).sum(axis=0) / number, shares[0], low, high, number)


def error_by_chance(cases: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """Compute the calibration error that the same confidences would have if they were right.

    Each draw decides by the confidence whether an answer is right. A group has one random number, so its images are
    right together: the images of a patient are not independent.

    Args:
        cases: Test images with `prob_<class>`, `group` and `replicate`.
        seed: Of the draws.

    Returns:
        The mean and the 95th percentile of the error in bins of equally many images, averaged over the replicates.

    References:
        Bröcker and Smith, "Increasing the reliability of reliability diagrams", Weather and Forecasting 22 (2007)
        651-661: consistency resampling.
    """
    groups, columns = np.unique(cases["group"], return_inverse=True)
    chance = np.random.default_rng(seed).random((_CHANCE_DRAWS, len(groups)), dtype=np.float32)
    confidence = probabilities_of(cases).max(axis=1)
    errors = []
    for number in cases["replicate"].unique():
        own = (cases["replicate"] == number).to_numpy()
        members = np.eye(BINS)[equal_bins(confidence[own])]
        right = np.take(chance, columns[own], axis=1) < confidence[own]
        gaps = (members * confidence[own][:, None]).sum(axis=0) - right.astype("float64") @ members
        errors.append(np.abs(gaps).sum(axis=1) / own.sum())
    mean = np.mean(errors, axis=0)
    return float(mean.mean()), float(np.quantile(mean, 0.95))
