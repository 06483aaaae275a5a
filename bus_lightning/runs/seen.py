"""Find the images of a folder that a run has seen in training, by their pixels and not by their names."""

import logging
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum, is_there
from bus_lightning.data.collection import collect_images
from bus_lightning.data.fingerprints import load_fingerprints, same_frames
from bus_lightning.data.mistakes import original_of
from bus_lightning.data.prepare import PreparedData, files_hash
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.data.splits import Split
from bus_lightning.runs.folder import RunDir

log = logging.getLogger(__name__)
_DIGITS = 16  # of a content hash, in status.json
_compared: dict[tuple[str, Path], list[tuple[str, str]]] = {}


@dataclass(frozen=True)
class Seen:
    """The images of a folder that a run has seen.

    Attributes:
        images: Id in the folder -> id in training.
        by_pixels: Whether pixels were compared; otherwise only ids, because nothing else was available.
    """

    images: dict[str, str]
    by_pixels: bool


def seen_images(run: RunDir, data: DictConfig, split: Split, prepared: PreparedData) -> Seen:
    """Find the images of a folder that a run has seen in training or validation.

    An image counts as seen if it is a copy that was renamed, scaled, cropped, annotated or saved as JPEG, or a
    near-duplicate of such a copy in the folder. Other images with the same names do not count.

    Args:
        run: The run.
        data: The run's config group `data`.
        split: The run's split.
        prepared: The folder's images.
    """
    known_ids = set(map(original_of, (*split.train, *split.val)))
    if holds_the_data_of(run, prepared.content):  # the numbers of the groups are the same then
        first = {split.groups[id_]: id_ for id_ in sorted(known_ids, reverse=True) if id_ in split.groups}
        return Seen(_of_groups(first, prepared.groups), True)
    known = _fingerprints(run, data)
    if known is None or prepared.fingerprints is None:
        log.warning(
            "%s has no fingerprints of its training images, and its data folder is missing or has changed: "
            "only ids are compared, so renamed copies are not found.", run.path,
        )  # fmt: skip
        return Seen({id_: id_ for id_ in sorted(known_ids & prepared.groups.keys())}, False)
    first, direct = dict[int, str](), dict[str, str]()
    for trained, other in _same_frames(known, prepared.fingerprints):
        if trained in known_ids and other in prepared.groups:
            direct.setdefault(other, trained)
            first.setdefault(prepared.groups[other], trained)
    return Seen(_of_groups(first, prepared.groups) | direct, True)


def holds_the_data_of(run: RunDir, content: str) -> bool:
    """Return whether data with this content hash, or these first digits of it, are what a run was trained on."""
    return files_hash(content)[:_DIGITS] == files_hash(run.status.get("data"))


def _of_groups(first: dict[int, str], groups: dict[str, int]) -> dict[str, str]:
    return {id_: first[group] for id_, group in sorted(groups.items()) if group in first}


def _fingerprints(run: RunDir, data: DictConfig) -> Path | None:
    """Find the fingerprints of a run's images: its own file, or the file of its data folder if that is unchanged."""
    if is_there(run.fingerprints):
        return run.fingerprints
    try:
        images = collect_images(read_sets(data), Path(data.cache))
    except UserError:
        return None
    return images.fingerprints if holds_the_data_of(run, images.audit.content) else None


def _same_frames(known: Path, others: Path) -> list[tuple[str, str]]:
    """Compare two files of fingerprints; within one command, runs on the same data are compared only once."""
    digest = checksum(known)
    if (digest, others) not in _compared:
        log.info("Comparing the images with those of the training")
        _compared[digest, others] = same_frames(load_fingerprints(known), load_fingerprints(others))
    return _compared[digest, others]
