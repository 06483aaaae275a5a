"""Metrics of K classes: counts first, ratios last, for all draws of a bootstrap at once.

Each function takes `Classified` and returns one value per draw, NaN where undefined: (D,), or (D, K) for a metric of
each class against the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.metrics.columns import Bools, Floats, ratio
from bus_lightning.metrics.ranking import auroc, auroc_and_average_precision
from bus_lightning.metrics.recalibration import calibration_intercept, calibration_slope
from bus_lightning.metrics.risk_coverage import area_under_risk_coverage

BINS = 10  # of the confidence, for the calibration error


@dataclass(frozen=True, eq=False)
class Classified:
    """Predictions for n images, and how often each image counts in each of D draws.

    Args:
        labels: (n,) int, the true class.
        probabilities: (n, K) float.
        weights: (D, n) float.
        names: K names of classes.
    """

    labels: NDArray[np.int64]
    probabilities: Floats
    weights: Floats
    names: Sequence[str]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class, (n,) int."""
        return self.probabilities.argmax(axis=1) if len(self.labels) else self.labels

    @cached_property
    def confusion(self) -> Floats:
        """Confusion matrices, (D, K true, K predicted)."""
        number = len(self.names)
        cells = self.weights @ np.eye(number * number)[self.labels * number + self.predicted]
        return np.asarray(cells.reshape(-1, number, number))

    @cached_property
    def total(self) -> Floats:
        """Images, (D,)."""
        return np.asarray(self.confusion.sum(axis=(1, 2)))

    @cached_property
    def hits(self) -> Floats:
        """True positives of each class, (D, K)."""
        return np.diagonal(self.confusion, axis1=1, axis2=2)

    @cached_property
    def actual(self) -> Floats:
        """Images of each class, (D, K)."""
        return np.asarray(self.confusion.sum(axis=2))

    @cached_property
    def called(self) -> Floats:
        """Images predicted as each class, (D, K)."""
        return np.asarray(self.confusion.sum(axis=1))

    @cached_property
    def rejected(self) -> Floats:
        """Images predicted as another class, (D, K)."""
        return self.total[:, None] - self.called

    @cached_property
    def true_negatives(self) -> Floats:
        """Images of other classes that were predicted as another class, (D, K)."""
        return self.rejected - (self.actual - self.hits)

    @cached_property
    def ranked(self) -> list[tuple[Floats, Floats]]:
        """AUROC and average precision of each class."""
        return [
            auroc_and_average_precision(self.labels == k, self.probabilities[:, k], self.weights)
            for k in range(len(self.names))
        ]

    @cached_property
    def confidence(self) -> Floats:
        """The probability of the most probable class, (n,)."""
        return np.asarray(self.probabilities.max(axis=1)) if len(self.labels) else np.zeros(0)

    @cached_property
    def selective(self) -> tuple[Floats, Floats]:
        """Area under the risk-coverage curve by the own confidence, and the best possible one, (D,) each."""
        return area_under_risk_coverage(self.predicted != self.labels, self.confidence, self.weights)


def clipped(probabilities: Floats) -> Floats:
    """Clip probabilities to [eps, 1 - eps] with the dtype's machine epsilon, as `sklearn.metrics.log_loss` does.

    The log-loss of a wrong prediction with probability 1 is then finite: 36.04 nats in float64, 15.94 in float32.

    Args:
        probabilities: Values in [0, 1], of any shape, float32 or float64.

    Returns:
        Same shape and dtype.
    """
    epsilon = np.finfo(probabilities.dtype).eps
    return probabilities.clip(epsilon, 1 - epsilon)


def accuracy(of: Classified) -> Floats:
    """Compute the share of images whose most probable class is the true one."""
    return ratio(of.hits.sum(axis=1), of.total)


def precision(of: Classified) -> Floats:
    """Compute TP / (TP + FP) of each class."""
    return ratio(of.hits, of.called)


def recall(of: Classified) -> Floats:
    """Compute TP / (TP + FN) of each class."""
    return ratio(of.hits, of.actual)


def f1(of: Classified) -> Floats:
    """Compute 2 TP / (2 TP + FP + FN) of each class."""
    return ratio(2 * of.hits, of.actual + of.called)


def specificity(of: Classified) -> Floats:
    """Compute TN / (TN + FP) of each class."""
    return ratio(of.true_negatives, of.total[:, None] - of.actual)


def npv(of: Classified) -> Floats:
    """Compute TN / (TN + FN) of each class."""
    return ratio(of.true_negatives, of.rejected)


def area(of: Classified) -> Floats:
    """Compute the area under the ROC curve of each class against the rest."""
    return np.stack([area for area, _ in of.ranked], axis=1)


def average_precision(of: Classified) -> Floats:
    """Compute the average precision of each class against the rest."""
    return np.stack([precision for _, precision in of.ranked], axis=1)


def macro(values: Floats, of: Classified, undefined_as_zero: bool = False) -> Floats:
    """Average a metric over the classes; NaN in a draw without an image of some class.

    Args:
        values: (D, K).
        of: The predictions.
        undefined_as_zero: Whether a class that is never predicted counts 0, as the paper counts its precision.
    """
    complete = (of.actual > 0).all(axis=1)
    return np.where(complete, (np.nan_to_num(values) if undefined_as_zero else values).mean(axis=1), np.nan)


def balanced_accuracy(of: Classified) -> Floats:
    """Compute the mean recall of the classes."""
    return macro(recall(of), of)


def log_loss(of: Classified) -> Floats:
    """Compute the mean negative logarithm of the true class's probability (`clipped`), in nats."""
    own = of.probabilities[np.arange(len(of.labels)), of.labels]
    return ratio(of.weights @ -np.log(clipped(own)), of.total)


def brier(of: Classified) -> Floats:
    """Compute the mean over images of the squared error summed over classes, in [0, 2] (Brier 1950)."""
    squared = ((of.probabilities - np.eye(len(of.names))[of.labels]) ** 2).sum(axis=1)
    return ratio(of.weights @ squared, of.total)


def calibration_error(of: Classified) -> Floats:
    """Average the distance between confidence and accuracy over 10 bins of the confidence (Naeini et al. 2015)."""
    return _binned_error(of, np.minimum((of.confidence * BINS).astype(int), BINS - 1))


def calibration_error_adaptive(of: Classified) -> Floats:
    """Average the distance between confidence and accuracy over 10 bins with equally many images (`equal_bins`).

    Such bins bias the estimate less than bins of equal width (Roelofs et al., AISTATS 2022). They are the same in all
    draws.
    """
    return _binned_error(of, equal_bins(of.confidence))


def equal_bins(values: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Divide values (n,) into bins of equally many, numbered from the lowest: (n,) int; equal values share a bin."""
    lower = np.searchsorted(np.sort(values), values)
    return np.asarray(lower * bins // max(1, len(values)), dtype=np.int64)


def _binned_error(of: Classified, bins: NDArray[np.int64]) -> Floats:
    right = of.predicted == of.labels
    gap = of.weights @ (np.eye(BINS)[bins] * (of.confidence - right)[:, None])
    return ratio(np.abs(gap).sum(axis=1), of.weights.sum(axis=1))


def logits_of(probabilities: Floats) -> Floats:
    """Compute ln(p / (1 - p)) of probabilities (`clipped`), of any shape."""
    kept = clipped(probabilities)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def malignant_slope(of: Classified) -> Floats:
    """Compute the calibration slope of malignant against the rest; 1 is ideal (see `calibration_slope`)."""
    return calibration_slope(*_malignant_logits(of), of.weights)


def malignant_intercept(of: Classified) -> Floats:
    """Compute the calibration intercept of malignant against the rest; 0 is ideal (see `calibration_intercept`)."""
    return calibration_intercept(*_malignant_logits(of), of.weights)


def _malignant_logits(of: Classified) -> tuple[Bools, Floats]:
    malignant = list(of.names).index(MALIGNANT)
    return of.labels == malignant, logits_of(of.probabilities[:, malignant])


def aurc(of: Classified) -> Floats:
    """Compute the area under the risk-coverage curve, by the own confidence (see `area_under_risk_coverage`)."""
    return of.selective[0]


def excess_aurc(of: Classified) -> Floats:
    """Compute by how much the area under the risk-coverage curve exceeds that of the best order (E-AURC)."""
    return of.selective[0] - of.selective[1]


@dataclass(frozen=True, eq=False)
class _Lesions:
    """The images of benign and malignant lesions, read as a choice between these two classes.

    Args:
        is_malignant: (m,) bool.
        called_malignant: (m,) bool, whether malignant is more probable than benign.
        scores: (m,) float, the probability of malignant among the two.
        weights: (D, m) float.
    """

    is_malignant: Bools
    called_malignant: Bools
    scores: Floats
    weights: Floats


def _lesions(of: Classified) -> _Lesions:
    benign, malignant = list(of.names).index(BENIGN), list(of.names).index(MALIGNANT)
    lesion = (of.labels == benign) | (of.labels == malignant)
    both = of.probabilities[lesion][:, [benign, malignant]]
    scores = ratio(both[:, 1], both.sum(axis=1))
    return _Lesions(of.labels[lesion] == malignant, both[:, 1] > both[:, 0], scores, of.weights[:, lesion])


def lesion_accuracy(of: Classified) -> Floats:
    """Compute the accuracy between benign and malignant."""
    two = _lesions(of)
    right = two.weights @ (two.called_malignant == two.is_malignant)
    return ratio(right, two.weights @ two.is_malignant + two.weights @ ~two.is_malignant)


def lesion_sensitivity(of: Classified) -> Floats:
    """Compute the share of malignant lesions for which malignant is more probable than benign."""
    two = _lesions(of)
    return ratio(two.weights @ (two.called_malignant & two.is_malignant), two.weights @ two.is_malignant)


def lesion_specificity(of: Classified) -> Floats:
    """Compute the share of benign lesions for which benign is at least as probable as malignant."""
    two = _lesions(of)
    return ratio(two.weights @ (~two.called_malignant & ~two.is_malignant), two.weights @ ~two.is_malignant)


def lesion_auroc(of: Classified) -> Floats:
    """Compute the area under the ROC curve of malignant against benign."""
    two = _lesions(of)
    return auroc(two.is_malignant, np.nan_to_num(two.scores, nan=0.5), two.weights)
