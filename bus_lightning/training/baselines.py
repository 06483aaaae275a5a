"""Fit the baselines of a classifier on its training images, and predict its validation and test images."""

import logging
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.data.baselines import cached_features, fit_and_predict, size_of, statistics_of
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.splits import Split
from bus_lightning.metrics.columns import PROBABILITY
from bus_lightning.runs.baselines import FOLDER, write_baseline
from bus_lightning.runs.folder import RunDir

log = logging.getLogger(__name__)


def fit_baselines(run: RunDir, config: DictConfig, prepared: PreparedData, split: Split, progress: bool) -> None:
    """Write what logistic regressions predict, which see twenty statistics of an image, or the lesion's size alone.

    Args:
        run: The run.
        config: Its config.
        prepared: Its images.
        split: Its split; the training part is fitted on.
        progress: Whether to show a progress bar.

    Raises:
        UserError: If an image cannot be read.
    """
    if config.task.name == "segmentation":
        log.info("%s: no baselines: they are classifiers, and this run's task is segmentation.", run.path)
        return
    labels = prepared.frame.set_index("id")["class"]
    if labels[split.train].nunique() < 2:
        log.warning("%s: no baselines: the training images are of one class.", run.path)
        return
    features = cached_features(prepared, Path(config.data.cache), progress)
    tested = pd.DataFrame(
        [(id_, part) for part in ("val", "test") for id_ in split.part(part)], columns=["id", "split"]
    )
    tested["label"] = labels[tested["id"]].to_numpy()
    classes = list(config.data.classes)
    for name, describe in {"statistics": statistics_of, "lesion_size": size_of}.items():
        train, others = describe(features.loc[split.train]), describe(features.loc[tested["id"]])
        if train is None or others is None:
            log.warning("%s: no baseline of the lesion's size: not every lesion has a mask.", run.path)
            continue
        probabilities = fit_and_predict(train, labels[split.train].tolist(), others, classes)
        columns = {f"{PROBABILITY}{each}": probabilities[:, k] for k, each in enumerate(classes)}
        write_baseline(run, name, tested.assign(**columns))
    log.info("%s: written", run.path / FOLDER)
