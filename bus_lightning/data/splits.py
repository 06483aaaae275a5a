"""Split images into train, validation and test; `split.json` holds the ids of each part.

One rule serves every method: units (images, or whole groups of near-duplicates) are ordered by a hash of (seed, unit)
and taken in that order while they fit into each class's quota. The test part is taken first, from the test share alone,
so it is the same set for 12:3 and for 11:1:3.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from bus_lightning.config.split_options import METHODS, refuse_parts, shares
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import write_aside
from bus_lightning.core.randomness import shuffled, stable_hash
from bus_lightning.core.reading import read_json
from bus_lightning.data.published import count_divided, published_parts
from bus_lightning.data.split_values import check_values
from bus_lightning.data.units import collect_units, take_fold, take_share

log = logging.getLogger(__name__)
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The ids of each part and how they were chosen; the content of `split.json`.

    Attributes:
        train, val, test: Sorted ids; `val` may be empty.
        method: grouped, stratified, random, file or published.
        ratio: Requested shares of train, (val,) test.
        seed: The split's seed.
        groups: Group of every image: near-duplicates, and the images of a patient.
        hash: Hash of the three lists.
        divided: What it divides, as `count_divided` counts it; empty in files of earlier versions.
    """

    train: list[str]
    val: list[str]
    test: list[str]
    method: str
    ratio: list[int]
    seed: int
    groups: dict[str, int]
    hash: str
    divided: dict[str, dict[str, int]] = field(default_factory=dict)

    def part(self, name: str) -> list[str]:
        """Return the ids of one part, `train`, `val` or `test`, or of `all` three."""
        if name == "all":
            return sorted(self.train + self.val + self.test)
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        write_aside(path, json.dumps(asdict(self), indent=1) + "\n")


def load_split(path: Path) -> Split:
    """Read a `split.json` and check it.

    Raises:
        DamagedError: If the file is missing, not a split, was edited, or has an image or a group in two parts.
    """
    try:
        check_values(content := read_json(path))
        split = Split(**content)
        is_hashed = split.hash == _hash_of(split.train, split.val, split.test)
        if not is_hashed or not split.groups.keys() >= set(split.part("all")):
            raise UserError("it was changed after it was written: its hash does not match its lists")
        check_disjoint(split)
    except DamagedError:
        raise
    except FileNotFoundError as error:
        raise DamagedError(path, f"it is not a split file ({error.strerror})") from error
    except (TypeError, UserError) as error:
        raise DamagedError(path, f"it is not a split file ({error})") from error
    return split


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
    train_share, val_share, test_share = shares(ratio, val_from_train)
    if method not in METHODS:
        raise UserError(f"data.split.method={method} is unknown: choose one of {', '.join(METHODS)}.")
    if folds is None and fold is not None and method != "published":
        raise UserError(f"data.split.fold={fold} needs data.split.folds, the number of folds.")
    if cross_fold is not None and cross_folds is None:
        raise UserError(f"data.split.cross_fold={cross_fold} needs data.split.cross_folds, the number of parts.")
    if tested is not None:
        refuse_parts(method, folds)
    if method == "file":
        if cross_fold is not None:
            raise UserError("data.split.cross_fold does not work with data.split.method=file: use another method.")
        return _with_divided(_from_file(frame, groups, file, list(ratio), seed), frame)
    if method == "published":
        if cross_fold is not None:
            raise UserError("data.split.cross_fold does not work with data.split.method=published: use grouped.")
        parts = published_parts(frame, folds, fold)
        cure = "has NUMBER images, none of them in PART of the published split: leave the class out with data.classes."
        _check_classes(frame, parts, bool(parts["val"]), cure)
        named = {id_: groups[id_] for ids in parts.values() for id_ in ids}
        return _with_divided(make_named_split(parts, method, named, ratio, seed), frame)

    class_of = dict(zip(frame["id"], frame["class"] if method != "random" else ["any"] * len(frame), strict=True))
    source_of = dict(zip(frame["id"], frame.get("source", frame["id"]), strict=True))

    def arranged(ids: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, Counter[str]], list[str]]:
        """Return the units of these images, their counts of classes, and their order."""
        units = collect_units(ids, groups if method == "grouped" else None)
        counts = {name: Counter(class_of[id_] for id_ in members) for name, members in units.items()}
        return units, counts, shuffled(units, "split", seed)

    units, counts, order = arranged(id_ for id_, source in source_of.items() if id_ == source)
    if tested is not None:
        test = sorted(id_ for id_ in tested if source_of[id_] == id_)
    else:
        share = test_share / (train_share + val_share + test_share)
        test_units = (
            take_share(order, counts, share) if folds is None else take_fold(order, counts, folds, fold, "fold")
        )
        test = sorted(id_ for unit in test_units for id_ in units[unit])
    held_out = _held_out(test, groups, source_of, whole_groups=method == "grouped" and tested is not None)
    units, counts, rest = arranged(id_ for id_, source in source_of.items() if source not in held_out)
    val_units = take_share(rest, counts, val_share / (train_share + val_share))
    parts = {
        "test": test,
        "val": sorted(id_ for unit in val_units for id_ in units[unit]),
        "train": sorted(id_ for unit in rest if unit not in val_units for id_ in units[unit]),
    }
    if cross_fold is not None:
        units, counts, order = arranged(parts["train"])
        crossed = take_fold(order, counts, cross_folds or 0, cross_fold, "cross_fold")
        parts["train"], parts["test"] = (
            sorted(id_ for unit in order if (unit in crossed) == is_tested for id_ in units[unit])
            for is_tested in (False, True)
        )
    values = {"ratio": list(ratio), "folds": folds, "cross_folds": None if cross_fold is None else cross_folds}
    options = [f"data.split.{name}={value}" for name, value in values.items() if value is not None]
    cure = f"has too few images (NUMBER) for {' and '.join(options)}: none would be in PART. Add images, change "
    cure += f"{'these options' if options[1:] else 'the ratio'}, or leave the class out with data.classes."
    whole = groups if method == "grouped" else {}
    _check_classes(frame, parts, val_share > 0, cure, needs_test=tested is None, groups=whole)
    split = make_named_split(parts, method, {id_: groups[id_] for id_ in frame["id"]}, ratio, seed)
    return _with_divided(split, frame)


def _with_divided(split: Split, frame: pd.DataFrame) -> Split:
    parts = {name: split.part(name) for name in PARTS}
    return replace(split, divided=count_divided(frame, parts, split.method))


def check_disjoint(split: Split) -> None:
    """Check that no image and no group of near-duplicates is in two parts.

    `random`, `stratified` and published splits can divide groups: a warning counts the images.

    Raises:
        UserError: If an image is in two parts, or a group although the method keeps groups whole.
    """
    train, val, test = (set(split.part(name)) for name in PARTS)
    if both := (train & val) | (train & test) | (val & test):
        raise UserError(f"'{min(both)}' is in two parts of the split ({len(both)} such images): keep each in one part.")
    trained, tested = ({split.groups[id_] for id_ in part} for part in (split.train, split.test))
    leaked = [id_ for id_ in split.val + split.test if split.groups[id_] in trained]
    divided = leaked + [id_ for id_ in split.val if split.groups[id_] in tested]
    if divided and split.method not in ("random", "stratified", "published"):
        raise UserError(
            f"The split divides near-duplicates or patients: '{divided[0]}' has a near-duplicate, or an image of its "
            f"patient, in another part ({len(leaked)} held-out images have one in training). Use "
            'data.split.method=grouped, or write "method": "random" into the file if this is intended.'
        )
    if leaked:
        log.warning(
            "Split '%s': %d of %d held-out images have a near-duplicate in training, or an image of their patient, "
            "so scores are too good. data.split.method=grouped keeps both together.",
            split.method, len(leaked), len(split.val) + len(split.test),
        )  # fmt: skip


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


def _hash_of(*parts: list[str]) -> str:
    return f"{stable_hash(*map(json.dumps, parts)):016x}"


def make_named_split(
    parts: dict[str, list[str]], method: str, groups: dict[str, int], ratio: Sequence[int] = (), seed: int = 0
) -> Split:
    """Make a split from given lists, and check it."""
    name = _hash_of(parts["train"], parts["val"], parts["test"])
    train, val, test = (parts[part] for part in PARTS)
    split = Split(train, val, test, method=method, ratio=list(ratio), seed=seed, groups=groups, hash=name)
    check_disjoint(split)
    return split
