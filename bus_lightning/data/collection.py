"""Put the data sets of a run together: one index, one audit, and groups that cross the sets.

A single set keeps its ids and paths. Of several sets, an id begins with the name of its set, and paths are absolute.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd
from filelock import FileLock

from bus_lightning.core.cache import caching, cleared, is_whole, read_cached, write_cached
from bus_lightning.data.audit import VERSION, cached_audit, fingerprints_of
from bus_lightning.data.content import findings_key, known_content
from bus_lightning.data.duplicates import group_of
from bus_lightning.data.findings import OF_IDS, Audit
from bus_lightning.data.fingerprints import load_fingerprints, same_frames, save_fingerprints
from bus_lightning.data.measures import list_measures, tabulate_measures
from bus_lightning.data.sources.registry import DataSet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collection:
    """The images of one or several data sets.

    Attributes:
        root: The folder that paths are relative to; of several sets, the folder above all of them.
        frame: The index, sorted by id.
        audit: The findings.
        classes: The classes of the sets, in the order of their labels.
        fingerprints: File with the fingerprints of all images.
    """

    root: Path
    frame: pd.DataFrame
    audit: Audit
    classes: tuple[str, ...]
    fingerprints: Path


def join_indexes(sets: Sequence[DataSet]) -> tuple[Path, pd.DataFrame]:
    """Return the root and the index of one or several sets."""
    if len(sets) == 1:
        return sets[0].root, sets[0].index.frame
    frames = []
    for dataset in sets:
        frame = dataset.index.frame
        frames.append(frame.assign(
            id=[f"{dataset.name}/{id_}" for id_ in frame["id"]],
            image=[_absolute(dataset, file) for file in frame["image"]],
            masks=[tuple(_absolute(dataset, file) for file in masks) for masks in frame["masks"]],
        ))  # fmt: skip
    above = Path(os.path.commonpath([dataset.root.absolute() for dataset in sets]))
    return above, pd.concat(frames).sort_values("id", ignore_index=True)


def collect_images(sets: Sequence[DataSet], cache: Path) -> Collection:
    """Audit each set, and join their indexes, their findings and their groups of near-duplicates.

    Args:
        sets: From `read_sets`.
        cache: Folder that keeps the findings.
    """
    root, frame = join_indexes(sets)
    audits = [cached_audit(dataset.root, dataset.index, cache) for dataset in sets]
    classes = tuple(dict.fromkeys(name for dataset in sets for name in dataset.classes))
    keys = _keys_of(sets, audits)
    if len(sets) == 1:
        return Collection(root, frame, audits[0], classes, fingerprints_of(keys[0], cache))
    pairs, fingerprints = _pairs_across(sets, keys, cache)
    content = _content_of([(dataset.name, audit.content) for dataset, audit in zip(sets, audits, strict=True)])
    return Collection(root, frame, _join_audits(sets, audits, frame, pairs, content), classes, fingerprints)


def find_shared_frames(sets: Sequence[DataSet], audits: Sequence[Audit], cache: Path) -> list[tuple[str, str]]:
    """Find images of different sets that show the same frame: pairs of ids that begin with the names of their sets.

    Args:
        sets: From `read_sets`.
        audits: The findings about each.
        cache: Folder that keeps the findings, and the fingerprints of each set.
    """
    if len(sets) == 1:
        return []
    keys = _keys_of(sets, audits)
    return _pairs_across(sets, keys, cache)[0]


def known_content_of(sets: Sequence[DataSet], cache: Path) -> str:
    """Return the hash of the files of one or several sets, without reading unchanged files again."""
    contents = [(dataset.name, known_content(dataset.root, dataset.index.frame, cache)) for dataset in sets]
    return contents[0][1] if len(sets) == 1 else _content_of(contents)


def _content_of(contents: Iterable[tuple[str, str]]) -> str:
    lines = [f"{name}\0{content}\n" for name, content in sorted(contents)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _absolute(dataset: DataSet, file: str) -> str:
    return str(dataset.root.absolute() / file)


def _keys_of(sets: Sequence[DataSet], audits: Sequence[Audit]) -> list[str]:
    """Return the `findings_key` of each set."""
    return [findings_key(audit.content, dataset.index.frame) for dataset, audit in zip(sets, audits, strict=True)]


def _pairs_across(sets: Sequence[DataSet], keys: Sequence[str], cache: Path) -> tuple[list[tuple[str, str]], Path]:
    """Find near-duplicates in different sets, and write the file with the fingerprints of all sets.

    Args:
        sets: The sets.
        keys: The `findings_key` of each.
        cache: Folder of both files.
    """
    key = _content_of([(dataset.name, key) for dataset, key in zip(sets, keys, strict=True)])
    path, fingerprints = cache / f"across-{VERSION}-{key[:16]}.json", fingerprints_of(key, cache)

    def known() -> list[tuple[str, str]] | None:
        if not is_whole(fingerprints):
            return None
        return read_cached(path, lambda content: [(str(first), str(second)) for first, second in json.loads(content)])

    if (pairs := known()) is not None:  # without the lock: the cache may belong to another user
        return pairs, fingerprints
    with FileLock(cleared(path.with_suffix(".lock"))):
        if (pairs := known()) is not None:
            return pairs, fingerprints
        log.info("Comparing the images of %d data sets", len(sets))
        of_sets = [
            {f"{dataset.name}/{id_}": fingerprint for id_, fingerprint in load_fingerprints(file).items()}
            for dataset, file in zip(sets, (fingerprints_of(key, cache) for key in keys), strict=True)
        ]
        pairs = [pair for first, second in combinations(of_sets, 2) for pair in same_frames(first, second)]
        with caching(fingerprints) as temporary:
            save_fingerprints(temporary, {id_: each for known_set in of_sets for id_, each in known_set.items()})
        write_cached(path, json.dumps(pairs).encode())
    if pairs:
        log.warning("%d pairs of images of different data sets show the same frame, such as %s and %s.",
                    len(pairs), *pairs[0])  # fmt: skip
    return pairs, fingerprints


def _join_audits(
    sets: Sequence[DataSet], audits: Sequence[Audit], frame: pd.DataFrame, pairs: list[tuple[str, str]], content: str
) -> Audit:
    """Join the findings about several sets; files are named by their absolute paths."""
    ids = frame["id"].tolist()
    positions = {id_: position for position, id_ in enumerate(ids)}
    links = [(positions[first], positions[second]) for first, second in pairs]
    problems: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    broken: dict[str, str] = {}
    rules: dict[str, str] = {}
    exact: dict[str, str] = {}
    measures: list[pd.DataFrame] = []
    bad_images: list[str] = []
    for dataset, audit in zip(sets, audits, strict=True):
        full = f"{dataset.name}/{{}}".format
        first: dict[int, str] = {}
        for id_, group in audit.groups.items():
            links.append((positions[full(first.setdefault(group, id_))], positions[full(id_)]))
        for kind, names in audit.problems.items():  # an id may be the name of a file, as that of a JPEG
            own = map(full, names) if kind in OF_IDS else (_absolute(dataset, file) for file in names)
            problems.setdefault(kind, []).extend(own)
        for kind, number in audit.counts.items():
            counts[kind] = counts.get(kind, 0) + number
        broken |= {_absolute(dataset, file): f"{dataset.root.absolute()}/{line}" for file, line in audit.broken.items()}
        rules |= {_absolute(dataset, file): rule for file, rule in audit.rules.items()}
        exact |= {full(copy): full(original) for copy, original in audit.exact_duplicate_of.items()}
        measures.append(tabulate_measures(map(full, audit.groups), audit.measures))
        bad_images += [_absolute(dataset, file) for file in audit.bad_images]
    groups = group_of(len(ids), links)
    conflicts = frame["id"][frame.groupby(groups)["class"].transform("nunique") > 1].tolist()
    return Audit(
        counts=counts, problems={kind: sorted(names) for kind, names in problems.items()}, broken=broken,
        groups=dict(zip(ids, groups.tolist(), strict=True)), exact_duplicate_of=exact, conflicts=conflicts,
        content=content, rules=rules, bad_images=bad_images, measures=list_measures(pd.concat(measures).loc[ids]),
    )  # fmt: skip
