"""Group the images that a split keeps together: the same patient, and near-duplicates."""

from collections.abc import Mapping

import pandas as pd

from bus_lightning.data.duplicates import group_of


def keep_together(frame: pd.DataFrame, duplicates: Mapping[str, int]) -> dict[str, int]:
    """Join images of one patient, one group of the table, or one group of near-duplicates.

    The groups are the connected components: if an image of patient A is a near-duplicate of one of patient B, all
    images of both stay together.

    Args:
        frame: The index; `patient` and `group` may be missing, and an empty one joins nothing. Both are names within a
            data set, so that patient 1 of two sets is not one patient. `source` is the id of a copied image.
        duplicates: Near-duplicate group of each original image.

    Returns:
        Id -> number of its group, from 0 in the order of the index.
    """
    keys_by_kind: list[list[object]] = [[duplicates[source] for source in frame.get("source", frame["id"])]]
    for name in ("patient", "group"):
        if name in frame:
            datasets = frame.get("dataset", pd.Series("", index=frame.index))
            # A set without such a column has NaN next to one that has it, and NaN is no group of all its images.
            known = [key if isinstance(key, str) and key else None for key in frame[name]]
            keys_by_kind.append([key and (of, key) for of, key in zip(datasets, known, strict=True)])
    pairs = []
    for keys in keys_by_kind:
        first: dict[object, int] = {}
        for position, key in enumerate(keys):
            if key is not None and first.setdefault(key, position) != position:
                pairs.append((first[key], position))
    numbers = group_of(len(frame), pairs)
    return dict(zip(frame["id"], numbers.tolist(), strict=True))
