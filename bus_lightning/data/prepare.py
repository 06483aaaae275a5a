"""From the data options of a config to an index and a split, every check done before any compute."""

import json
import logging
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock
from omegaconf import DictConfig

from bus_lightning.data.audit import HEALTHY, Audit, cached_audit
from bus_lightning.data.content import known_content
from bus_lightning.data.index import find_root, read_index, select_classes
from bus_lightning.data.mistakes import with_mistake
from bus_lightning.data.splits import Split, make_split
from bus_lightning.errors import UserError
from bus_lightning.randomness import stable_hash

log = logging.getLogger(__name__)
_DIGITS = 16  # of the hash of a folder, which are enough


@dataclass(frozen=True)
class PreparedData:
    """The images that a run may use.

    Attributes:
        root: The data folder.
        frame: The index, without what was left out.
        groups: Near-duplicate group of each id.
        content: Hash of the folder's files and of the choice made among them.
        predicted_by: Hash of the masks that segmenters predicted, whose files the index then names in its column
            `predicted`; None without.
    """

    root: Path
    frame: pd.DataFrame
    groups: dict[str, int]
    content: str
    predicted_by: str | None = None

    @property
    def classes(self) -> list[str]:
        """The classes in the order of their labels."""
        return self.frame.drop_duplicates("label").sort_values("label")["class"].tolist()

    def has_changed(self, cache: Path) -> bool:
        """Tell whether the folder's files are others now than when they were hashed."""
        return known_content(self.root, read_index(self.root), cache)[:_DIGITS] != self.content.partition("-")[0]

    def split(self, options: DictConfig) -> Split:
        """Split the images as `data.split` says."""
        return make_split(self.frame, self.groups, **{str(key): value for key, value in options.items()})


def prepare_data(data: DictConfig, needs_masks: bool, only: Collection[str] | None = None) -> PreparedData:
    """Find, index and audit the data folder, and leave out what the options say.

    Args:
        data: The config group `data`.
        needs_masks: Whether an image without a mask is an error, as in segmentation.
        only: Ids to take where they are there, whatever else the folder holds; None takes all.

    Raises:
        UserError: When the folder is missing, or holds files that cannot be trained on.
    """
    if data.phantom:
        _draw_phantom(Path(data.root), **data.phantom)
    root = find_root(data.root)
    whole = read_index(root)
    frame = select_classes(whole, list(data.classes), root) if data.classes else whole
    if only is not None:
        frame = frame[frame["id"].isin(only)].reset_index(drop=True)
    audit = cached_audit(root, whole, Path(data.cache))
    kept = frame[~frame["id"].isin(_left_out(data, frame, audit))].reset_index(drop=True)
    _refuse_broken(root, kept, audit, needs_masks)
    for name in frame["class"].unique():
        if name not in set(kept["class"]):
            raise UserError(
                f"No image of class '{name}' is left after data.exclude, drop_conflicts and skip_unreadable."
            )
    kept = with_mistake(kept, data.mistake)
    if only is not None:
        kept = kept[kept["id"].isin(only)].reset_index(drop=True)
    content = f"{audit.content[:_DIGITS]}-{stable_hash(*kept['id'], *kept['class']):016x}"
    groups = {row.id: audit.groups[row.source] for row in kept.itertuples()}
    return PreparedData(root, kept, groups, content)


def _left_out(data: DictConfig, frame: pd.DataFrame, audit: Audit) -> set[str]:
    """Collect the ids that the options leave out, and say how many each leaves out."""
    here = set(frame["id"])
    reasons: dict[str, set[str]] = {}
    if data.exclude:
        reasons[f"data.exclude={data.exclude}"] = _excluded(Path(data.exclude), here)
    if data.drop_conflicts:
        reasons["data.drop_conflicts (their twin has another class)"] = here & set(audit.conflicts)
    if data.skip_unreadable:
        unreadable = set(audit.problems["unreadable"])
        touched = [not unreadable.isdisjoint((row.image, *row.masks)) for row in frame.itertuples()]
        reasons["data.skip_unreadable"] = set(frame.loc[touched, "id"])
    for reason, ids in reasons.items():
        log.info("Left out by %s: %d of %d images.", reason, len(ids), len(frame))
    return set().union(*reasons.values())


def _excluded(file: Path, known: set[str]) -> set[str]:
    """Read the ids that a CSV lists, with or without their ending."""
    try:
        listed = set(pd.read_csv(file)["id"].dropna().str.removesuffix(".png"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"data.exclude={file} is no CSV with a column 'id': {error}") from error
    if unknown := listed - known:
        log.warning("data.exclude=%s: %d ids are not in the data, '%s' for one.", file, len(unknown), min(unknown))
    return listed & known


def _refuse_broken(root: Path, frame: pd.DataFrame, audit: Audit, needs_masks: bool) -> None:
    """Refuse files that cannot be read, masks that do not fit, and in segmentation lesions without a mask."""
    if broken := [file for row in frame.itertuples() for file in (row.image, *row.masks) if file in audit.broken]:
        others = f" ({len(broken)} files are broken; `make audit` lists them)" if len(broken) > 1 else ""
        raise UserError(f"{root}/{audit.broken[broken[0]]}{others}")
    maskless = frame[(frame["masks"].map(len) == 0) & (frame["class"] != HEALTHY)]
    if needs_masks and len(maskless):
        raise UserError(
            f"'{maskless['id'].iloc[0]}' has no mask ({len(maskless)} images have none): segmentation needs "
            "<name>_mask.png beside each image, or leave them out with data.exclude=FILE.csv."
        )


def _draw_phantom(root: Path, images: int, seed: int) -> None:
    """Draw the phantom folder once; jobs that start together wait for the first."""
    from bus_lightning.data.phantom import MARKER, draw_phantom  # not needed for real data

    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        if not root.is_dir():
            for left in root.parent.glob(f".{root.name}.*/"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            draw_phantom(root, images=images, seed=seed)
        elif (marker := root / MARKER).is_file() and json.loads(marker.read_text()) != {"images": images, "seed": seed}:
            log.warning("%s is used as it was drawn, %s; remove it to draw data.phantom.images=%d, seed=%d.",
                        root, marker.read_text().strip(), images, seed)  # fmt: skip
