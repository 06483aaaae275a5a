"""Is the label in the input? A probe without a network: logistic regression on global statistics of the intensities."""

from collections.abc import Mapping
from copy import copy

import numpy as np
from scipy.stats import kurtosis, skew

from bus_lightning.data.dataset import BusDataset
from bus_lightning.data.preprocess import Overlay

SUSPICIOUS = 0.10  # of macro AUC, above that of the same images without overlay
_LEVELS = (1, 5, 25, 50, 75, 95, 99)


def label_in_input(dataset: BusDataset, groups: Mapping[str, int]) -> tuple[float, float] | None:
    """Tell how well 20 global statistics of the images give their classes away, with and without the overlay.

    Args:
        dataset: Images of one part, which carry an overlay.
        groups: Near-duplicate group of each id; the cross-validation keeps them whole.

    Returns:
        Macro AUC (one against rest, cross-validated) with the overlay and without, in [0, 1]; None where there are too
        few groups of a class for a cross-validation.
    """
    bare = copy(dataset)
    bare.overlay = Overlay()
    found = [_macro_auc(_statistics(images), images, groups) for images in (dataset, bare)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _statistics(dataset: BusDataset) -> np.ndarray:
    """Describe each image by 20 numbers, (N, 20) float64, from the levels that normalisation only shifts and scales."""
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
    from sklearn.linear_model import LogisticRegression  # a second to import, for runs with an overlay only
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array([row.label for row in dataset.rows])
    units = np.array([groups[row.id] for row in dataset.rows])
    fewest = min(len(set(units[labels == label])) for label in set(labels))
    if fewest < 2 or len(set(labels)) < 2:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedGroupKFold(min(5, fewest), shuffle=True, random_state=0)
    answers = cross_val_predict(model, features, labels, groups=units, cv=folds, method="predict_proba")
    if answers.shape[1] == 2:
        return float(roc_auc_score(labels == labels.max(), answers[:, 1]))
    return float(roc_auc_score(labels, answers, multi_class="ovr", average="macro"))
