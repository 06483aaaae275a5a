"""Probe whether the input reveals the label: logistic regression on global statistics of the intensities."""

from collections.abc import Mapping
from copy import copy

import numpy as np
from scipy.stats import kurtosis, skew

from bus_lightning.data.baselines import logistic_regression
from bus_lightning.data.dataset import BusDataset
from bus_lightning.data.preprocess import Overlay

SUSPICIOUS = 0.10  # macro AUC above that of the same images without overlay
_LEVELS = (1, 5, 25, 50, 75, 95, 99)


def label_in_input(dataset: BusDataset, groups: Mapping[str, int]) -> tuple[float, float] | None:
    """Measure how well 20 global statistics of the images predict their classes, with and without the overlay.

    Args:
        dataset: Images of one part, with an overlay.
        groups: Near-duplicate group of each id; the cross-validation keeps them whole.

    Returns:
        Macro AUC (one against rest, cross-validated) with the overlay and without, in [0, 1]; None if a class has too
        few groups for a cross-validation.
    """
    bare = copy(dataset)
    bare.overlay = Overlay()
    with_overlay, without = (_macro_auc(_statistics(images), images, groups) for images in (dataset, bare))
    return None if with_overlay is None or without is None else (with_overlay, without)


def _statistics(dataset: BusDataset) -> np.ndarray:
    """Describe each image by 20 numbers, (N, 20) float64; normalisation would only shift and scale its levels."""
    rows = []
    for position in range(len(dataset)):
        image, mask = dataset.square(position)
        image = np.broadcast_to(image, (*mask.shape, 3)) / 255
        grey = image.mean(axis=2)
        spread = image.max(axis=2) - image.min(axis=2)
        flat = grey.ravel()
        rows.append(
            [grey.mean(), grey.std(), grey.min(), grey.max(), *np.percentile(grey, _LEVELS),
             *(np.nan_to_num(moment(flat)) for moment in (skew, kurtosis)), (grey > 0.95).mean(), (grey < 0.05).mean(),
             spread.mean(), spread.max(), (spread > 0.1).mean(), (image[..., 0] - image[..., 2]).mean(),
             (image[..., 1] - image[..., 2]).mean()]
        )  # fmt: skip
    return np.array(rows)


def _macro_auc(features: np.ndarray, dataset: BusDataset, groups: Mapping[str, int]) -> float | None:
    """Cross-validate by group, and score the out-of-fold probabilities."""
    from sklearn.metrics import roc_auc_score  # takes a second to import
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    labels = np.array([row.label for row in dataset.rows])
    units = np.array([groups[row.id] for row in dataset.rows])
    fewest = min(len(set(units[labels == label])) for label in set(labels))
    if fewest < 2 or len(set(labels)) < 2:
        return None
    folds = StratifiedGroupKFold(min(5, fewest), shuffle=True, random_state=0)
    probabilities = cross_val_predict(
        logistic_regression(), features, labels, groups=units, cv=folds, method="predict_proba"
    )
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels == labels.max(), probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))
