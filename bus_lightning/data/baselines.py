"""Classify images without a network: logistic regression on simple statistics, or on the lesion's size alone."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from bus_lightning.core.cache import keep_cached, read_cached
from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.index import rows_of
from bus_lightning.data.mistakes import mirrored
from bus_lightning.data.pixels import read_files
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.simple_statistics import STATISTICS, simple_statistics

VERSION = 2  # part of a file's name: raise it when a statistic changes
_LESION = "lesion_share"


def logistic_regression() -> Any:
    """Make scikit-learn's logistic regression on standardised features, with its default regularisation."""
    from sklearn.linear_model import LogisticRegression  # takes a second to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def cached_features(prepared: PreparedData, cache: Path, progress: bool = False) -> pd.DataFrame:
    """Measure every image of an index once; the numbers are kept for later runs.

    Args:
        prepared: The images.
        cache: Folder of the file.
        progress: Whether to show a progress bar.

    Returns:
        A row per image, indexed by id: the twenty statistics, and `lesion_share`, the lesion's share of the image in
        [0, 1], NaN where a lesion has no mask.

    Raises:
        UserError: If a file cannot be read.
    """
    name = stable_hash(VERSION, prepared.content, *astuple(prepared.scale))
    file = cache / f"features-{name:016x}.json"
    columns, ids = [*STATISTICS, _LESION], prepared.frame["id"].tolist()

    def parse(content: bytes) -> pd.DataFrame:
        return pd.DataFrame(json.loads(content), index=ids, columns=columns, dtype="float64")

    if (known := read_cached(file, parse)) is not None:
        return known

    def measure(row: Any) -> list[float]:
        image, masks = read_files(row, prepared.root, prepared.scale)
        is_known = bool(row.masks) or row.class_name == HEALTHY
        return [*simple_statistics(mirrored(image, row.flip)), float(masks[0].mean()) if is_known else float("nan")]

    rows = rows_of(prepared.frame)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = list(tqdm(pool.map(measure, rows), "statistics", len(rows), unit="image", leave=False,
                             disable=None if progress else True))  # fmt: skip
    content = json.dumps(measured).encode()
    keep_cached(file, content)
    return parse(content)


def statistics_of(features: pd.DataFrame) -> np.ndarray:
    """Return the twenty statistics, (N, 20)."""
    return features[list(STATISTICS)].to_numpy()


def size_of(features: pd.DataFrame) -> np.ndarray | None:
    """Return the lesion's size as a classifier uses it, (N, 2); None if the size of a lesion is not known.

    The columns are the logarithm of the lesion's share of the image, 0 without a lesion, and whether there is one.
    """
    share = features[_LESION].to_numpy()
    if np.isnan(share).any():
        return None
    has_lesion = share > 0
    return np.column_stack([np.log(share, out=np.zeros(len(share)), where=has_lesion), has_lesion])


def fit_and_predict(train: np.ndarray, labels: Sequence[str], tested: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Fit a logistic regression on training images, and predict others.

    Args:
        train: (N, F) features.
        labels: (N,) the class of each, of at least two classes.
        tested: (M, F) features.
        classes: K classes.

    Returns:
        (M, K) probabilities; 0 for a class without training images.
    """
    model = logistic_regression().fit(train, list(labels))
    probabilities = np.zeros((len(tested), len(classes)))
    if len(tested):
        probabilities[:, [list(classes).index(name) for name in model.classes_]] = model.predict_proba(tested)
    return probabilities
