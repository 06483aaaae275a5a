"""The splits that the authors of a data set have published; and what a split divides."""

import logging
from collections.abc import Iterable, Mapping
from itertools import combinations

import pandas as pd

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import UserError

log = logging.getLogger(__name__)
_PREFIX = "parts_"
_NAMES = {"patients": "patient*", "near-duplicates": "group* of near-duplicates", "groups": "group*"}


def published_parts(frame: pd.DataFrame, folds: int | None, fold: int | None) -> dict[str, list[str]]:
    """Read the parts of a published fold.

    Args:
        frame: The index, with a column `parts_K` for each published set of K folds: the part of the image in each fold.
        folds: K; None takes the only one that there is, or the smallest, which is logged.
        fold: The fold, from 0; None takes the only one.

    Returns:
        Part -> its ids, sorted. An image without a part is in none.

    Raises:
        UserError: If the data set, or one of several, has no such folds.
    """
    known = _published_folds(frame)
    if not known:
        raise UserError("data.split.method=published: this data set has no published split; use grouped.")
    listed = " or ".join(map(str, known))
    if folds is None and len(known) > 1:
        log.info("The published split has %s folds: %d are used. Choose with data.split.folds.", listed, known[0])
    number = known[0] if folds is None else folds
    if number not in known:
        raise UserError(f"data.split.folds={number}: the published numbers of folds are {listed}.")
    if fold is None and number > 1:
        raise UserError(f"data.split.method=published needs data.split.fold, from 0 to {number - 1}.")
    if not 0 <= (fold or 0) < number:
        raise UserError(f"data.split.fold={fold}: the published folds are 0 to {number - 1}.")
    _name_left_out(frame, f"{_PREFIX}{number}", f" of {number} folds" if number > 1 else "")
    parts: dict[str, list[str]] = {name: [] for name in PARTS}
    for id_, of_folds in zip(frame["id"], frame[f"{_PREFIX}{number}"], strict=True):
        if isinstance(of_folds, tuple):
            parts[of_folds[fold or 0]].append(id_)
    return {name: sorted(ids) for name, ids in parts.items()}


def name_unused(frame: pd.DataFrame, method: str) -> None:
    """Log that a split which the data name, such as folders `train` and `test`, is not the one that is made."""
    known = _published_folds(frame)
    if known and ("dataset" not in frame or frame["dataset"].nunique() == 1):
        kinds = [f"{number} folds" if number > 1 else "named parts" for number in known]
        log.info(
            "data.split.method=%s does not use the split that the data name (%s): add data.split.method=published to "
            "use it.", method, " or ".join(kinds)
        )  # fmt: skip


def _published_folds(frame: pd.DataFrame) -> list[int]:
    """List the numbers of folds in which the data name their split; 1 for named parts."""
    return sorted(int(name.removeprefix(_PREFIX)) for name in map(str, frame) if name.startswith(_PREFIX))


def _name_left_out(frame: pd.DataFrame, column: str, kind: str) -> None:
    """Log how many images are in no part of a published split, and refuse a data set of which none is in one."""
    has_part = frame[column].map(lambda value: isinstance(value, tuple))
    datasets = frame.get("dataset", pd.Series("", index=frame.index))
    if lacking := sorted(set(datasets) - set(datasets[has_part])):
        raise UserError(
            f"data.split.method=published: the data set {lacking[0]} has no published split{kind}: leave it out, or "
            "use data.split.method=grouped."
        )
    if not has_part.all():
        number = int((~has_part).sum())
        log.warning("%d of %d images are in no part of the published split, and are left out.", number, len(frame))


def count_divided(frame: pd.DataFrame, parts: Mapping[str, list[str]], method: str) -> dict[str, dict[str, int]]:
    """Count the patients and the groups of near-duplicates with images in two parts, and log them.

    Args:
        frame: The index, with the columns `patient` and `duplicates` (number of the near-duplicate group), if known.
        parts: Part -> its ids.
        method: That of the split, for the log.

    Returns:
        `patients` and `near-duplicates`, if known -> pair of parts, such as `train-test` -> number; pairs without any
        are left out.
    """
    place = {id_: name for name, ids in parts.items() for id_ in ids}
    places = [place.get(id_) for id_ in frame["id"]]
    divided = {}
    if "patient" in frame and (frame["patient"] != "").any():
        datasets = frame.get("dataset", pd.Series("", index=frame.index))  # patient 1 of two sets is not one patient
        keys = [(of, key) if key else None for of, key in zip(datasets, frame["patient"], strict=True)]
        divided["patients"] = _count_pairs(keys, places)
    if "duplicates" in frame:
        divided["near-duplicates"] = _count_pairs(frame["duplicates"], places)
    if text := describe_divided(divided):
        log.warning("The %s split divides %s.", method, text)
    return divided


def count_divided_groups(groups: Mapping[str, int], parts: Mapping[str, list[str]]) -> dict[str, dict[str, int]]:
    """Count the groups with images in two parts, for a split that was made before `count_divided`."""
    place = {id_: name for name, ids in parts.items() for id_ in ids}
    return {"groups": _count_pairs(groups.values(), [place.get(id_) for id_ in groups])}


def describe_divided(divided: Mapping[str, Mapping[str, int]]) -> str:
    """Write what a split divides: `121 patients between train and val, 2 near-duplicates between train and test`."""
    return ", ".join(
        f"{number} {_NAMES.get(kind, kind).replace('*', 's' * (number != 1))} between {pair.replace('-', ' and ')}"
        for kind, pairs in divided.items()
        for pair, number in pairs.items()
    )


def _count_pairs(keys: Iterable[object], places: Iterable[str | None]) -> dict[str, int]:
    seen: dict[object, set[str]] = {}
    for key, part in zip(keys, places, strict=True):
        if part is not None and key is not None:
            seen.setdefault(key, set()).add(part)
    counts = {
        f"{first}-{second}": sum({first, second} <= parts for parts in seen.values())
        for first, second in combinations(PARTS, 2)
    }
    return {pair: number for pair, number in counts.items() if number}
