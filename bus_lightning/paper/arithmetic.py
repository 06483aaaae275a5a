"""What follows from the paper's numbers by arithmetic alone."""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus_lightning.statistics.paired_tests import mcnemar

# Confusion matrices (rows: truth; benign, malignant, normal) that give the precision, recall and F1 of these models'
# validation rows, as means over the three classes.
VALIDATION_COUNTS = (46, 20, 13)
CONFUSIONS = {
    "resnet50": [[46, 0, 0], [0, 19, 1], [1, 0, 12]],
    "alexnet": [[42, 4, 0], [16, 4, 0], [13, 0, 0]],
}


def agrees(found: NDArray[np.float64] | float, printed: float, digits: int = 4) -> NDArray[np.bool_]:
    """Tell whether numbers could have been printed as this one, rounded to so many digits behind the point."""
    return np.asarray(np.abs(np.asarray(found) - printed) <= 0.5 * 10.0**-digits + 1e-9)


def denominators(values: Sequence[float], limit: int = 200) -> list[int]:
    """List the counts of images, up to a limit, of which all values are whole multiples to four digits."""
    return [n for n in range(1, limit + 1) if all(agrees(round(value * n) / n, value) for value in values)]


def split_sizes(images: int, ratio: Sequence[int]) -> list[int]:
    """Split images by a ratio, to the nearest whole number."""
    return [round(images * part / sum(ratio)) for part in ratio]


def macro_scores(matrices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Compute precision, recall and F1 as means over the classes.

    Args:
        matrices: (N, K, K) counts, rows the truth; a class that is never predicted has precision 0.

    Returns:
        `precision_macro`, `recall_macro`, `f1_macro`, each (N,).
    """
    hits = np.einsum("nkk->nk", matrices).astype(float)
    truth, answers = matrices.sum(2), matrices.sum(1)
    return {
        "precision_macro": (hits / np.maximum(answers, 1)).mean(1),
        "recall_macro": (hits / np.maximum(truth, 1)).mean(1),
        "f1_macro": (2 * hits / np.maximum(truth + answers, 1)).mean(1),
    }


def confusion_matrices(right: int, wrong: int) -> NDArray[np.int64]:
    """List every 3x3 confusion matrix with so many right and wrong answers, whatever the classes' counts, (N, 3, 3)."""
    diagonals = [(a, b, right - a - b) for a in range(right + 1) for b in range(right - a + 1)]
    matrices = np.zeros((len(diagonals), 3, 3), dtype=np.int64)
    matrices[:, range(3), range(3)] = diagonals
    cells = [(row, column) for row in range(3) for column in range(3) if row != column]
    found = []
    for errors in combinations_with_replacement(cells, wrong):
        more = matrices.copy()
        for row, column in errors:
            more[:, row, column] += 1
        found.append(more)
    return np.concatenate(found)


def with_counts(matrices: NDArray[np.int64], counts: Sequence[int]) -> NDArray[np.int64]:
    """Keep the confusion matrices whose classes have these counts, in this order."""
    return matrices[(matrices.sum(2) == np.array(counts)).all(1)]


def matching(matrices: NDArray[np.int64], printed: Mapping[str, float]) -> NDArray[np.int64]:
    """Keep the confusion matrices that give the printed scores, named as in `macro_scores`."""
    scores = macro_scores(matrices)
    return matrices[np.all([agrees(scores[name], value) for name, value in printed.items()], axis=0)]


def harmonic_mean(first: float, second: float) -> float:
    """Compute the harmonic mean of two positive numbers."""
    return 2 * first * second / (first + second)


class PooledPixels(NamedTuple):
    """Shares of all pixels together, in [0, 1]."""

    lesion: float
    """Pixels of lesions among all."""
    precision: float
    dice: float
    specificity: float


def pooled_pixels(accuracy: float, recall: float, iou: float) -> PooledPixels:
    """Derive what else is known when accuracy, recall and IoU were counted over the same pixels.

    With L the lesion's share, TP = recall L and TP + FN + FP = TP / iou; so the errors FN + FP = TP (1 / iou - 1) are
    1 - accuracy, which gives L.
    """
    hits = (1 - accuracy) / (1 / iou - 1)
    lesion = hits / recall
    false_alarms = hits / iou - lesion
    return PooledPixels(
        lesion=lesion,
        precision=hits / (hits + false_alarms),
        dice=2 * iou / (1 + iou),
        specificity=1 - false_alarms / (1 - lesion),
    )


def impossible_readings(per_class: Sequence[float], accuracy: float, digits: int = 2) -> dict[str, str]:
    """Tell what numbers per class cannot be, given the accuracy on the same images.

    With K classes, accuracy is a weighted mean of the recalls (weights: the classes' counts), of the precisions (the
    answers' counts) and of the F1 scores (their sums); (K - 2 + accuracy) / (K - 1) is one of the specificities; and
    each wrong answer is wrong for two classes, so the one-against-rest accuracies have the mean
    1 - 2 (1 - accuracy) / K. A weighted mean lies between the smallest and the largest.

    Args:
        per_class: One printed number per class.
        accuracy: Share of right answers.
        digits: Digits behind the point to which the numbers are rounded.

    Returns:
        Reading -> why it cannot be; without the readings that can be.
    """
    half, classes = 0.5 * 10.0**-digits, len(per_class)
    low, high = min(per_class) - half, max(per_class) + half
    means = dict.fromkeys(("recalls", "precisions", "F1 scores"), accuracy)
    means["specificities"] = (classes - 2 + accuracy) / (classes - 1)
    found = {
        reading: f"a weighted mean of them is {mean:.3f}, outside {low:.3f} to {high:.3f}"
        for reading, mean in means.items()
        if not low <= mean <= high
    }
    mean, printed = 1 - 2 * (1 - accuracy) / classes, sum(per_class) / classes
    if abs(mean - printed) > half:
        found["one-against-rest accuracies"] = f"their mean is {mean:.3f}, not {printed:.3f}"
    return found


def most_disagreements(difference: int, images: int, level: float = 0.05) -> int | None:
    """Find how many images two models may answer differently well for a difference to remain significant.

    Args:
        difference: Images that one model answers rightly beyond the other's.
        images: Images in all.
        level: Level of McNemar's exact test.

    Returns:
        The most images that only one of the two answers rightly at which p is below the level; None where it never is.
    """
    found = None
    for both_ways in range((images - difference) // 2 + 1):
        if mcnemar(difference + both_ways, both_ways) < level:
            found = difference + 2 * both_ways
    return found
