"""From the files of a data set to the images of a run: how many each step leaves out."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bus_lightning.data.sources.registry import DataSet

DROPPED_CLASS, OTHER_CLASS, OTHER_PART = "dropped_class", "other_class", "other_part"
EXCLUDED, CONFLICT, UNREADABLE = "excluded", "conflict", "unreadable"


def count_left_out(whole: pd.DataFrame, steps: Mapping[str, set[str]]) -> dict[str, dict[str, int]]:
    """Count the images that each step leaves out; an image counts in the first step that names it.

    Args:
        whole: All images, with the columns `id` and `dataset`.
        steps: Reason -> ids, in the order of the steps.

    Returns:
        Data set -> reason -> number, without zeros.
    """
    reason_of = {id_: reason for reason, ids in reversed(list(steps.items())) for id_ in ids}
    reasons = whole["id"].map(reason_of)
    counts: dict[str, dict[str, int]] = {str(name): {} for name in whole["dataset"].unique()}
    for name, own in reasons.groupby(whole["dataset"]):
        numbers = own.value_counts()
        counts[str(name)] = {reason: int(numbers[reason]) for reason in steps if reason in numbers.index}
    return counts


def count_flow(dataset: DataSet, left_out: Mapping[str, int], used: int) -> dict[str, Any]:
    """Count the files of a data set, and what became of its images.

    Args:
        dataset: The set.
        left_out: Reason -> number of its images, from `count_left_out`.
        used: Number of its rows in the index that a run uses.

    Returns:
        `files` in the folder: images, masks, and files that are not read; `not_read`; `masks`; `masks_without_image`;
        `rows_without_file` of its table; `images`; `left_out`: reason -> number; `copied`: rows that `data.mistake`
        adds; `used`.
    """
    index = dataset.index
    images = len(index.frame) + dataset.dropped
    masks = len({file for files in index.frame["masks"] for file in files})
    why = {DROPPED_CLASS: dataset.dropped, **left_out}
    return {
        "files": images + masks + len(index.skipped) + len(index.orphans),
        "not_read": len(index.skipped),
        "masks": masks,
        "masks_without_image": len(index.orphans),
        "rows_without_file": len(index.missing),
        "images": images,
        "left_out": {reason: number for reason, number in why.items() if number},
        "copied": used - images + sum(why.values()),
        "used": used,
    }
