"""A split into train, validation and test: the ids of each part, and its file `split.json`."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import write_aside
from bus_lightning.core.randomness import stable_hash
from bus_lightning.core.reading import parse_json, read_text
from bus_lightning.data.split_values import check_values

log = logging.getLogger(__name__)
_LOADED: WeakValueDictionary[str, "Split"] = WeakValueDictionary()  # by content; most runs of a grid share their split


@dataclass(frozen=True)
class Split:
    """The ids of each part and how they were chosen; the content of `split.json`. Runs share it: it is never changed.

    Attributes:
        train, val, test: Sorted ids; `val` may be empty.
        method: grouped, stratified, random, file or published.
        ratio: Requested shares of train, (val,) test.
        seed: The split's seed.
        groups: Group of every image: near-duplicates, and the images of a patient.
        hash: Hash of the three lists.
        divided: What it divides, as `count_divided` counts it; empty in files of earlier versions.
    """

    train: Sequence[str]
    val: Sequence[str]
    test: Sequence[str]
    method: str
    ratio: Sequence[int]
    seed: int
    groups: Mapping[str, int]
    hash: str
    divided: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def part(self, name: str) -> list[str]:
        """Return the ids of one part, `train`, `val` or `test`, or of `all` three."""
        if name == "all":
            return sorted([*self.train, *self.val, *self.test])
        return list({"train": self.train, "val": self.val, "test": self.test}[name])

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        write_aside(path, json.dumps(asdict(self), indent=1) + "\n")


def load_split(path: Path) -> Split:
    """Read a `split.json` and check it; equal files give the same object, so a thousand of them take little memory.

    Raises:
        DamagedError: If the file is missing, not a split, was edited, or has an image or a group in two parts.
    """
    try:
        text = read_text(path)
        split = _LOADED.get(text) or _parse(text, path)
        check_disjoint(split)
        _LOADED[text] = split
    except DamagedError:
        raise
    except FileNotFoundError as error:
        raise DamagedError(path, f"it is not a split file ({error.strerror})") from error
    except (TypeError, UserError) as error:
        raise DamagedError(path, f"it is not a split file ({error})") from error
    return split


def _parse(text: str, path: Path) -> Split:
    check_values(content := parse_json(text, path))
    split = Split(**content)
    is_hashed = split.hash == _hash_of(split.train, split.val, split.test)
    if not is_hashed or not split.groups.keys() >= set(split.part("all")):
        raise UserError("it was changed after it was written: its hash does not match its lists")
    return split


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
    leaked = [id_ for id_ in (*split.val, *split.test) if split.groups[id_] in trained]
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


def _hash_of(*parts: Sequence[str]) -> str:
    return f"{stable_hash(*(json.dumps(list(part)) for part in parts)):016x}"


def make_named_split(
    parts: Mapping[str, Sequence[str]],
    method: str,
    groups: Mapping[str, int],
    ratio: Sequence[int] = (),
    seed: int = 0,
) -> Split:
    """Make a split from given lists, and check it."""
    name = _hash_of(parts["train"], parts["val"], parts["test"])
    train, val, test = (parts[part] for part in PARTS)
    split = Split(train, val, test, method=method, ratio=list(ratio), seed=seed, groups=groups, hash=name)
    check_disjoint(split)
    return split
