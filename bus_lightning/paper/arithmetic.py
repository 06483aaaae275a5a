"""What follows from the paper's numbers by arithmetic alone."""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus_lightning.statistics.paired_tests import mcnemar

# Confusion matrices (rows: ground truth; benign, malignant, normal) that give the precision, recall and F1 of these
# models' validation rows, as means over the three classes.
VALIDATION_COUNTS = (46, 20, 13)
CONFUSIONS = {
    "resnet50": [[46, 0, 0], [0, 19, 1], [1, 0, 12]],
    "alexnet": [[42, 4, 0], [16, 4, 0], [13, 0, 0]],
}


def agrees(values: NDArray[np.float64] | float, printed: float, digits: int = 4) -> NDArray[np.bool_]:
    """Compare values with a printed number that is rounded to so many decimals."""
    return np.asarray(np.abs(np.asarray(values) - printed) <= 0.5 * 10.0**-digits + 1e-9)


def denominators(values: Sequence[float], limit: int = 200) -> list[int]:
    """List the counts of images, up to a limit, of which all values are multiples to four digits."""
    return [n for n in range(1, limit + 1) if all(agrees(round(value * n) / n, value) for value in values)]


def split_sizes(images: int, ratio: Sequence[int]) -> list[int]:
    """Split images by a ratio, to the nearest whole number."""
    return [round(images * part / sum(ratio)) for part in ratio]


def macro_scores(matrices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Compute precision, recall and F1 as means over the classes.

    Args:
        matrices: (N, K, K) counts, rows the ground truth; a class that is never predicted has precision 0.

    Returns:
        `precision_macro`, `recall_macro`, `f1_macro`, each (N,).
    """
    hits = np.einsum("nkk->nk", matrices).astype(float)
    actual, predicted = matrices.sum(2), matrices.sum(1)
    return {
        "precision_macro": (hits / np.maximum(predicted, 1)).mean(1),
        "recall_macro": (hits / np.maximum(actual, 1)).mean(1),
        "f1_macro": (2 * hits / np.maximum(actual + predicted, 1)).mean(1),
    }


def confusion_matrices(correct: int, wrong: int) -> NDArray[np.int64]:
    """List every 3x3 confusion matrix with so many correct and wrong predictions, for any class counts, (N, 3, 3)."""
    diagonals = [(a, b, correct - a - b) for a in range(correct + 1) for b in range(correct - a + 1)]
    matrices = np.zeros((len(diagonals), 3, 3), dtype=np.int64)
    matrices[:, range(3), range(3)] = diagonals
    cells = [(row, column) for row in range(3) for column in range(3) if row != column]
    blocks = []
    for errors in combinations_with_replacement(cells, wrong):
        block = matrices.copy()
        for row, column in errors:
            block[:, row, column] += 1
        blocks.append(block)
    return np.concatenate(blocks)


def with_counts(matrices: NDArray[np.int64], counts: Sequence[int]) -> NDArray[np.int64]:
    """Keep the confusion matrices whose classes have these counts, in this order."""
    return matrices[(matrices.sum(2) == np.array(counts)).all(1)]


def matching(matrices: NDArray[np.int64], printed: Mapping[str, float]) -> NDArray[np.int64]:
    """Keep the confusion matrices that give the printed scores, named as in `macro_scores`."""
    scores = macro_scores(matrices)
    return matrices[np.all([agrees(scores[name], value) for name, value in printed.items()], axis=0)]


class PooledPixels(NamedTuple):
    """Fractions of all pixels together; `lesion` is the lesions' share of the pixels."""

    lesion: float
    precision: float
    dice: float
    specificity: float


def pooled_pixels(accuracy: float, recall: float, iou: float) -> PooledPixels:
    """Derive the other scores, if accuracy, recall and IoU were counted over the same pixels.

    With L the lesions' share, TP = recall L and TP + FN + FP = TP / iou. So the errors FN + FP = TP (1 / iou - 1) are
    1 - accuracy, which gives L.
    """
    hits = (1 - accuracy) / (1 / iou - 1)
    lesion = hits / recall
    false_positives = hits / iou - lesion
    specificity = 1 - false_positives / (1 - lesion)
    return PooledPixels(lesion, hits / (hits + false_positives), 2 * iou / (1 + iou), specificity)


def impossible_readings(per_class: Sequence[float], accuracy: float, digits: int = 2) -> dict[str, str]:
    """Find what numbers per class cannot be, given the accuracy on the same images.

    With K classes, accuracy is a weighted mean of the recalls (weights: the classes' counts), of the precisions (the
    predictions' counts) and of the F1 scores (their sums). (K - 2 + accuracy) / (K - 1) is one of the specificities.
    Each wrong prediction is wrong for two classes, so the one-against-rest accuracies have the mean
    1 - 2 (1 - accuracy) / K. A weighted mean lies between the smallest and the largest value.

    Args:
        per_class: One printed number per class.
        accuracy: Fraction of correct predictions.
        digits: Decimals of the printed numbers.

    Returns:
        Impossible reading -> the reason.
    """
    half, classes = 0.5 * 10.0**-digits, len(per_class)
    low, high = min(per_class) - half, max(per_class) + half
    means = dict.fromkeys(("recalls", "precisions", "F1 scores"), accuracy)
    means["specificities"] = (classes - 2 + accuracy) / (classes - 1)
    reasons = {
        reading: f"a weighted mean of them is {mean:.3f}, outside {low:.3f} to {high:.3f}"
        for reading, mean in means.items()
        if not low <= mean <= high
    }
    mean, printed = 1 - 2 * (1 - accuracy) / classes, sum(per_class) / classes
    if abs(mean - printed) > half:
        reasons["one-against-rest accuracies"] = f"their mean is {mean:.3f}, not {printed:.3f}"
    return reasons


def most_disagreements(difference: int, images: int, level: float = 0.05) -> int | None:
    """Find on how many images two models may disagree before a difference stops being significant.

    Args:
        difference: Images that one model classifies correctly beyond the other's.
        images: All images.
        level: Level of McNemar's exact test.

    Returns:
        The largest number of images that only one of the two classifies correctly with p below the level; None if p is
        never below it.
    """
    pairs = range((images - difference) // 2 + 1)
    significant = [difference + 2 * n for n in pairs if mcnemar(difference + n, n) < level]
    return max(significant, default=None)
