"""The splits that the authors of a data set have published, and what they divide."""

import logging
from collections.abc import Iterable
from itertools import combinations

import pandas as pd

from bus_lightning.core.errors import UserError

log = logging.getLogger(__name__)
_PREFIX = "parts_"
_PARTS = ("train", "val", "test")


def published_parts(frame: pd.DataFrame, folds: int | None, fold: int | None) -> dict[str, list[str]]:
    """Read the parts of a published fold.

    Args:
        frame: The index, with a column `parts_K` for each published set of K folds: the part of the image in each fold.
        folds: K; None takes the only one that there is.
        fold: The fold, from 0; None takes the only one.

    Returns:
        Part -> its ids, sorted. An image without a part is in none.

    Raises:
        UserError: If the data set has no such folds.
    """
    known = sorted(int(name.removeprefix(_PREFIX)) for name in frame if str(name).startswith(_PREFIX))
    if not known:
        raise UserError("data.split.method=published: this data set has no published split; use grouped.")
    listed = " or ".join(map(str, known))
    if folds is None and len(known) > 1:
        raise UserError(f"data.split.method=published needs data.split.folds: {listed}.")
    number = folds or known[0]
    if number not in known:
        raise UserError(f"data.split.folds={number}: the published numbers of folds are {listed}.")
    if fold is None and number > 1:
        raise UserError(f"data.split.method=published needs data.split.fold, from 0 to {number - 1}.")
    if not 0 <= (fold or 0) < number:
        raise UserError(f"data.split.fold={fold}: the published folds are 0 to {number - 1}.")
    parts: dict[str, list[str]] = {name: [] for name in _PARTS}
    for id_, of_folds in zip(frame["id"], frame[f"{_PREFIX}{number}"], strict=True):
        if isinstance(of_folds, tuple):
            parts[of_folds[fold or 0]].append(id_)
    return {name: sorted(ids) for name, ids in parts.items()}


def count_divided(frame: pd.DataFrame, parts: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """Count the patients and groups of near-duplicates with images in two parts, and log them.

    Args:
        frame: The index, with the columns `patient` and `duplicates` (number of the near-duplicate group), if known.
        parts: Part -> its ids.

    Returns:
        `patients` and `near-duplicates` -> pair of parts, such as `train-test` -> number; pairs without any are left
        out.
    """
    place = {id_: name for name, ids in parts.items() for id_ in ids}
    columns = {"patients": "patient", "near-duplicates": "duplicates"}
    divided = {
        kind: _count_pairs(frame[name], [place.get(id_) for id_ in frame["id"]])
        for kind, name in columns.items()
        if name in frame
    }
    for kind, pairs in divided.items():
        for pair, number in pairs.items():
            log.warning("The published split divides %d %s (%s).", number, kind, pair)
    return divided


def _count_pairs(keys: Iterable[object], places: Iterable[str | None]) -> dict[str, int]:
    seen: dict[object, set[str]] = {}
    for key, part in zip(keys, places, strict=True):
        if part is not None and key != "":
            seen.setdefault(key, set()).add(part)
    counts = {
        f"{first}-{second}": sum({first, second} <= parts for parts in seen.values())
        for first, second in combinations(_PARTS, 2)
    }
    return {pair: number for pair, number in counts.items() if number}
