"""Choose the parts of a split.

One rule serves every method: units (images, or whole groups of near-duplicates) are ordered by a hash of (seed, unit)
and taken in that order while they fit into each class's quota. The test part is taken first, from the test share alone,
so it is the same set for 12:3 and for 11:1:3.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from bus_lightning.config.split_options import GIVEN, METHODS, PARTS, refuse_parts, shares
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import read_json
from bus_lightning.data.published import count_divided, name_unused, published_parts
from bus_lightning.data.splits import Split, make_named_split
from bus_lightning.data.units import Units, arrange, take_fold, take_share

log = logging.getLogger(__name__)


def make_split(
    frame: pd.DataFrame,
    groups: dict[str, int],
    method: str = "grouped",
    seed: int = 0,
    ratio: Sequence[int] = (11, 1, 3),
    folds: int | None = None,
    fold: int | None = None,
    val_from_train: int = 0,
    file: str | None = None,
    cross_folds: int | None = None,
    cross_fold: int | None = None,
    tested: Collection[str] | None = None,
) -> Split:
    """Split an index into train, validation and test.

    Args:
        frame: The index, with the columns `id` and `class`. If its column `source` names another id, the row is a copy
            of that image, made after the test images were set aside: it is not tested, and left out if that is tested.
        groups: Group of every id: near-duplicates, and the images of a patient.
        method: `grouped` (by class, groups kept whole), `stratified` (by class), `random`, `file`, or `published` (by
            the authors of the data set, in the columns `parts_K` of the index).
        seed: Decides the split and nothing else.
        ratio: `[train, test]` or `[train, val, test]` in parts.
        folds: Number of folds; the test part is then one of them and the ratio's test share is not used. For the
            method `published`, which of the published numbers of folds.
        fold: The fold that is tested, from 0.
        val_from_train: How many of the training shares become validation.
        file: JSON with the lists `train`, `val` and `test`, for the method `file`.
        cross_folds: Number of parts of the training images, for cross-fitting.
        cross_fold: The part that is tested, from 0, by a run that trains on the others; the test images of the whole
            split are then left out. None trains on all parts.
        tested: Ids of the test images, if whole data sets are tested; the ratio's test share is then not used.

    Raises:
        UserError: If an option is invalid, a class is too small for the ratio, or a group would be divided.
    """
    share_of_parts = shares(ratio, val_from_train)
    _check_options(method, folds, fold, cross_folds, cross_fold, tested)
    if method == "file":
        return _with_divided(_from_file(frame, groups, file, list(ratio), seed), frame)
    if method == "published":
        return _with_divided(_published(frame, groups, folds, fold, ratio, seed), frame)
    if tested is None:
        name_unused(frame, method)
    parts = _choose(frame, groups, method, seed, share_of_parts, folds, fold, tested)
    if cross_fold is not None:
        parts = _cross(parts, _arranger(frame, groups, method, seed), cross_folds or 0, cross_fold)
    values = {"ratio": list(ratio), "folds": folds, "cross_folds": None if cross_fold is None else cross_folds}
    options = [f"data.split.{name}={value}" for name, value in values.items() if value is not None]
    cure = f"has too few images (NUMBER) for {' and '.join(options)}: none would be in PART. Add images, change "
    cure += f"{'these options' if options[1:] else 'the ratio'}, or leave the class out with data.classes."
    whole = groups if method == "grouped" else {}
    _check_classes(frame, parts, share_of_parts[1] > 0, cure, needs_test=tested is None, groups=whole)
    split = make_named_split(parts, method, {id_: groups[id_] for id_ in frame["id"]}, ratio, seed)
    return _with_divided(split, frame)


def _check_options(
    method: str, folds: int | None, fold: int | None, cross_folds: int | None, cross_fold: int | None,
    tested: Collection[str] | None,
) -> None:  # fmt: skip
    """Refuse options of `make_split` that do not fit each other."""
    if method not in METHODS:
        raise UserError(f"data.split.method={method} is unknown: choose one of {', '.join(METHODS)}.")
    if folds is None and fold is not None and method != "published":
        raise UserError(f"data.split.fold={fold} needs data.split.folds, the number of folds.")
    if cross_fold is not None and cross_folds is None:
        raise UserError(f"data.split.cross_fold={cross_fold} needs data.split.cross_folds, the number of parts.")
    if tested is not None:
        refuse_parts(method, folds)
    if cross_fold is not None and method in GIVEN:
        cure = "use grouped" if method == "published" else "use another method"
        raise UserError(f"data.split.cross_fold does not work with data.split.method={method}: {cure}.")


def _arranger(
    frame: pd.DataFrame, groups: dict[str, int], method: str, seed: int
) -> Callable[[Iterable[str]], Units]:  # fmt: skip
    """Return the function that arranges ids in units, as a method asks for."""
    classes = ["any"] * len(frame) if method == "random" else frame["class"]
    class_of = dict(zip(frame["id"], classes, strict=True))
    return partial(arrange, class_of=class_of, groups=groups if method == "grouped" else None, seed=seed)


def _choose(
    frame: pd.DataFrame, groups: dict[str, int], method: str, seed: int, share_of_parts: tuple[int, int, int],
    folds: int | None, fold: int | None, tested: Collection[str] | None,
) -> dict[str, list[str]]:  # fmt: skip
    """Choose the ids of each part: first the test part, then the validation part of what may be trained on."""
    train_share, val_share, test_share = share_of_parts
    arrange_ids = _arranger(frame, groups, method, seed)
    source_of = dict(zip(frame["id"], frame.get("source", frame["id"]), strict=True))
    if tested is not None:
        test = sorted(id_ for id_ in tested if source_of[id_] == id_)
    else:
        units = arrange_ids(id_ for id_, source in source_of.items() if id_ == source)
        share = test_share / (train_share + val_share + test_share)
        test = units.ids(
            take_share(units.order, units.counts, share) if folds is None
            else take_fold(units.order, units.counts, folds, fold, "fold")
        )  # fmt: skip
    held_out = _held_out(test, groups, source_of, whole_groups=method == "grouped" and tested is not None)
    units = arrange_ids(id_ for id_, source in source_of.items() if source not in held_out)
    val, train = units.divide(take_share(units.order, units.counts, val_share / (train_share + val_share)))
    return {"test": test, "val": val, "train": train}


def _cross(
    parts: dict[str, list[str]], arrange_ids: Callable[[Iterable[str]], Units], folds: int, fold: int
) -> dict[str, list[str]]:
    """Test a fold of the training images, and train on the others; the test images of the whole split are left out."""
    units = arrange_ids(parts["train"])
    test, train = units.divide(take_fold(units.order, units.counts, folds, fold, "cross_fold"))
    return parts | {"test": test, "train": train}


def _published(
    frame: pd.DataFrame, groups: dict[str, int], folds: int | None, fold: int | None, ratio: Sequence[int], seed: int
) -> Split:
    """Take the parts that the authors of the data set have published."""
    parts = published_parts(frame, folds, fold)
    originals = set(frame.loc[frame["id"] == frame.get("source", frame["id"]), "id"])
    parts["test"] = [id_ for id_ in parts["test"] if id_ in originals]  # a copy has the part of its image
    cure = "has NUMBER images, none of them in PART of the published split: leave the class out with data.classes."
    _check_classes(frame, parts, bool(parts["val"]), cure)
    named = {id_: groups[id_] for ids in parts.values() for id_ in ids}
    return make_named_split(parts, "published", named, ratio, seed)


def _with_divided(split: Split, frame: pd.DataFrame) -> Split:
    parts = {name: split.part(name) for name in PARTS}
    return replace(split, divided=count_divided(frame, parts, split.method))


def _from_file(frame: pd.DataFrame, groups: dict[str, int], file: str | None, ratio: list[int], seed: int) -> Split:
    """Read the user's lists; images that are not in a list are left out."""
    if not file:
        raise UserError("data.split.method=file needs data.split.file=FILE.json with the lists train, val and test.")
    complaint = f"data.split.file={file} is not JSON with the lists train, val and test"
    try:
        content = read_json(Path(file), cure=complaint)
    except FileNotFoundError as error:
        raise UserError(f"{complaint}: it does not exist.") from error
    parts = {name: content.get(name, []) for name in PARTS}
    for name, ids in parts.items():
        if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
            raise UserError(f"{complaint}: {name} is not a list of ids.")
        parts[name] = sorted(set(ids))
    known = set(frame["id"])
    for name, ids in parts.items():
        if unknown := [id_ for id_ in ids if id_ not in known]:
            raise UserError(
                f"data.split.file={file}: '{unknown[0]}' in {name} is not in the data ({len(unknown)} such ids): "
                "use ids, paths below the data root without the extension, such as 'benign/benign (1)'."
            )
    if not parts["train"] or not parts["test"]:
        raise UserError(f"data.split.file={file}: the lists train and test must not be empty.")
    copies = set(frame.loc[frame["id"] != frame.get("source", frame["id"]), "id"])
    if copies and all(copies.isdisjoint(ids) for ids in parts.values()):
        raise UserError(
            f"data.mistake has no effect with data.split.file={file}, which names none of the images that it adds: "
            "leave it out, or use another data.split.method."
        )
    method = content.get("method")
    named = {id_: groups[id_] for ids in parts.values() for id_ in ids}
    is_known = isinstance(method, str) and method in METHODS
    split = make_named_split(parts, str(method) if is_known else "file", named, ratio, seed)
    cure = f"has NUMBER images, and none of them in PART of data.split.file={file}: add some, "
    _check_classes(frame, parts, bool(parts["val"]), cure + "or leave the class out with data.classes.")
    return split


def _held_out(
    test: list[str], groups: dict[str, int], source_of: dict[str, str], whole_groups: bool
) -> set[str]:  # fmt: skip
    """Return the ids that are not trained on: the test images and, if groups are kept whole, the others of theirs."""
    if not whole_groups:
        return set(test)
    tested_groups = {groups[id_] for id_ in test}
    held_out = {id_ for id_ in source_of if groups[id_] in tested_groups}
    if left_out := len(held_out) - len(test):
        log.warning(
            "%d images show a frame or a patient of the tested sets, and are left out of the training.", left_out
        )
    return held_out


def _check_classes(
    frame: pd.DataFrame, parts: dict[str, list[str]], needs_val: bool, cure: str, needs_test: bool = True,
    groups: Mapping[str, int] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Refuse a split without an image of some class in a part; `cure` has the placeholders NUMBER and PART.

    NUMBER is the number of images, and of their `groups` if these are fewer.
    """
    class_of = frame.set_index("id")["class"]
    for name in ("train", *["val"] * needs_val, *["test"] * needs_test):
        for missing in sorted(set(class_of) - set(class_of[parts[name]])):
            ids = class_of.index[class_of == missing]
            whole = len({groups.get(id_, id_) for id_ in ids})
            joined = f", in {whole} group{'s' * (whole > 1)} of patients and near-duplicates"
            number = f"{len(ids)}{joined if whole < len(ids) else ''}"
            raise UserError(f"Class '{missing}' {cure.replace('NUMBER', number).replace('PART', name)}")
