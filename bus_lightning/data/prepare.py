"""Turn the data options of a config into an index and a split; every check runs before any compute."""

import csv
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from omegaconf import DictConfig

from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.commands import name_command
from bus_lightning.core.csv_cells import unescape_formula
from bus_lightning.core.errors import UserError
from bus_lightning.core.randomness import stable_hash
from bus_lightning.core.reading import read_json, read_text
from bus_lightning.data.collection import collect_images, known_content_of
from bus_lightning.data.dataset_scale import known_scale
from bus_lightning.data.findings import Audit
from bus_lightning.data.flow import CONFLICT, EXCLUDED, OTHER_CLASS, OTHER_PART, UNREADABLE, count_left_out
from bus_lightning.data.groups import keep_together
from bus_lightning.data.index import select_classes
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.data.listing import HIDDEN, describe_skipped, refuse_shared_masks, without_extension
from bus_lightning.data.mistakes import with_mistake
from bus_lightning.data.sources.class_map import refuse_alike
from bus_lightning.data.sources.registry import DataSet, read_sets
from bus_lightning.data.sources.source_index import SourceIndex
from bus_lightning.data.splits import Split
from bus_lightning.data.splitting import make_split

log = logging.getLogger(__name__)
_DIGITS = 16  # of the hash of a folder
_MARKER_BYTES = 1000  # of a phantom folder's marker, at most


def files_hash(content: object) -> str:
    """Return the part of a content hash that is about the files, without the choice of images."""
    return str(content or "").partition("-")[0]


@dataclass(frozen=True)
class PreparedData:
    """The images that a run may use.

    Attributes:
        root: The data folder.
        frame: The index, without excluded images.
        groups: Group of each id; a split keeps near-duplicates and the images of a patient together.
        content: Hash of the folder's files and of the choice of images.
        fingerprints: File with the fingerprints of all images of the folder; None if there is none.
        predicted_by: Hash of the predicted masks that the index names in its column `predicted`; None without them.
        segmenters: Folders of the segmenters' runs that predicted them.
        scale: Scale for files that do not state their bit depth, from all images of the folder.
        sets: The data sets that the images come from.
        audit: The findings about them.
        left_out: Data set -> reason, in the order of the steps -> number of its images that were left out.
    """

    root: Path
    frame: pd.DataFrame
    groups: dict[str, int]
    content: str
    predicted_by: str | None = None
    segmenters: tuple[str, ...] = ()
    scale: Scale = OWN_SCALE
    fingerprints: Path | None = None
    sets: tuple[DataSet, ...] = ()
    audit: Audit | None = None
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """The classes in the order of their labels."""
        return self.frame.drop_duplicates("label").sort_values("label")["class"].tolist()

    def has_changed(self, cache: Path) -> bool:
        """Check whether the folder's files have changed since they were hashed."""
        return known_content_of(self.sets, cache)[:_DIGITS] != files_hash(self.content)

    def split(self, options: DictConfig, test: Collection[str] | None = None) -> Split:
        """Split the images by the options of `data.split`; the sets that `test` names are tested as a whole."""
        names = set(test or ())
        tested = self.frame.loc[self.frame["dataset"].isin(names), "id"].tolist() if names else None
        return make_split(self.frame, self.groups, **{str(key): value for key, value in options.items()}, tested=tested)


def prepare_data(
    data: DictConfig, needs_masks: bool, only: Collection[str] | None = None, uses_masks: bool = False,
    choose_classes: Callable[[Sequence[DataSet]], list[str]] | None = None,
) -> PreparedData:  # fmt: skip
    """Find, index and audit the data folder, and leave out the images that the options exclude.

    Args:
        data: The config group `data`.
        needs_masks: Whether an image without a mask is an error, as in segmentation.
        only: Ids to keep; ids that the folder does not have are ignored. None keeps all images.
        uses_masks: Whether existing masks are used, for example by an overlay. An unusable mask does not stop a task
            that neither needs nor uses masks.
        choose_classes: Chooses the classes when the index has been read; None takes `data.classes`, or those of the
            sets.

    Raises:
        UserError: If the folder is missing, or has files that cannot be trained on.
    """
    if data.phantom and data.root:
        _draw_phantom(Path(data.root), **data.phantom)
    cache = Path(data.cache)
    sets = read_sets(data)
    for dataset in sets:
        _report(dataset.root, dataset.index)
    classes = list(choose_classes(sets) if choose_classes else data.classes or [])
    images = collect_images(sets, cache)
    root, audit = images.root, images.audit
    whole = select_classes(images.frame, sorted(images.frame["class"].unique()), root)
    frame = select_classes(whole, classes or list(images.classes), root)
    _refuse_other_words(sets, frame)
    steps = {OTHER_CLASS: set(whole["id"]) - set(frame["id"])}
    if only is not None:
        steps[OTHER_PART] = set(frame["id"]) - set(only)
        frame = frame[frame["id"].isin(only)].reset_index(drop=True)
    steps |= _excluded_ids(data, frame, audit)
    kept = frame[~frame["id"].isin(set().union(*steps.values()))].reset_index(drop=True)
    if needs_masks or uses_masks:
        refuse_shared_masks(kept, audit.groups)
    unusable = _refuse_broken(root, kept, audit, data, needs_masks, needs_masks or uses_masks)
    kept["masks"] = [() if unusable.intersection(masks) else masks for masks in kept["masks"]]
    for column, what in (("class", "of class '{}'"), ("dataset", "of the data set {}")):
        for name in sorted(set(frame[column]) - set(kept[column])):
            left = f"No image {what.format(name)} is left"
            raise UserError(f"{left} after data.exclude, drop_conflicts and skip_unreadable.")
    kept = with_mistake(kept, data.mistake)
    if only is not None:
        kept = kept[kept["id"].isin(only)].reset_index(drop=True)
    sizes = kept["mm_per_pixel"].astype(str) if "mm_per_pixel" in kept else ()  # the metrics in millimetres use them
    choice = stable_hash(*kept["id"], *kept["class"], *sorted(_below_sets(unusable, sets)), *sizes)
    whole_groups = keep_together(whole, audit.groups)  # with excluded images, so that their number does not matter
    groups = {row.id: whole_groups[row.source] for row in kept.itertuples()}
    kept["duplicates"] = [audit.groups[source] for source in kept["source"]]
    scale = known_scale(root, whole["image"].tolist(), audit.content, cache)
    content = f"{audit.content[:_DIGITS]}-{choice:016x}"
    return PreparedData(
        root, kept, groups, content, scale=scale, fingerprints=images.fingerprints, sets=tuple(sets), audit=audit,
        left_out=count_left_out(whole, steps),
    )  # fmt: skip


def _report(root: Path, index: SourceIndex) -> None:
    """Log what a source could not use."""
    if skipped := {file: why for file, why in index.skipped.items() if why != HIDDEN}:
        log.warning("%s: skipped: %s.", root, describe_skipped(skipped))
    if index.missing:
        log.warning("%s: %d images of the table are not in the folder, such as %s.", root, len(index.missing),
                    index.missing[0])  # fmt: skip
    for note in index.notes:
        log.info("%s: %s", root, note)


def _below_sets(files: Iterable[str], sets: Sequence[DataSet]) -> list[str]:
    """Name the files of several sets, whose paths are absolute, by the set and the path below its folder."""
    names = list(files)
    for each in sets if len(sets) > 1 else ():
        above = f"{each.root.absolute()}/"
        names = [f"{each.name}/{name.removeprefix(above)}" if name.startswith(above) else name for name in names]
    return names


def _refuse_other_words(sets: Sequence[DataSet], frame: pd.DataFrame) -> None:
    """Refuse sets that spell a class differently, and a set without any image of the chosen classes."""
    if len(sets) == 1:
        return
    chosen = set(frame["class"])
    refuse_alike(frame["class"], f"data='[{','.join(each.name for each in sets)}]'")
    for each in sets:
        if not (frame["dataset"] == each.name).any():
            raise UserError(
                f"{each.root}: the data set {each.name} has no image of the classes {', '.join(sorted(chosen))}; it "
                f"has {', '.join(each.classes)}: leave it out, or map its words with +data.sets.{each.name}.map.class."
            )


def _excluded_ids(data: DictConfig, frame: pd.DataFrame, audit: Audit) -> dict[str, set[str]]:
    """Collect the ids that the options exclude, by reason, and log how many each excludes."""
    reasons: dict[str, set[str]] = {}
    options: dict[str, str] = {}
    if data.exclude:
        options[EXCLUDED] = f"data.exclude={data.exclude}"
        reasons[EXCLUDED] = _read_excluded(Path(data.exclude), frame)
    if data.drop_conflicts:
        options[CONFLICT] = "data.drop_conflicts (their twin has another class)"
        reasons[CONFLICT] = set(frame["id"]) & set(audit.conflicts)
    if data.skip_unreadable:
        unreadable = set(audit.problems["unreadable"])
        is_affected = [not unreadable.isdisjoint((row.image, *row.masks)) for row in frame.itertuples()]
        options[UNREADABLE] = "data.skip_unreadable"
        reasons[UNREADABLE] = set(frame.loc[is_affected, "id"])
    for reason, ids in reasons.items():
        log.info("Left out by %s: %d of %d images.", options[reason], len(ids), len(frame))
    return reasons


def _read_excluded(file: Path, frame: pd.DataFrame) -> set[str]:
    """Read the ids of a CSV, which lists ids or paths relative to the root, with or without the file extension.

    A name that is an id stands for this image alone: `x` is `x.png`, and not `x.jpg` next to it.
    """
    complaint = f"data.exclude={file} is not a CSV with a column 'id'"
    try:
        rows = csv.DictReader(StringIO(read_text(file, cure=complaint).removeprefix("\ufeff"), newline=""))
        if "id" not in (rows.fieldnames or ()):
            raise UserError(f"{complaint}: its first line must be id, each line below it an image")
        listed = {unescape_formula(name) for row in rows if (name := (row["id"] or "").strip())}
    except (OSError, csv.Error) as error:
        raise UserError(f"{complaint}: {error}") from error
    ids = {str(id_) for id_ in frame["id"]}
    ids_by_name = {id_: {id_} for id_ in ids}
    for row in frame.itertuples():
        for name in {f"{row.id}.png", str(row.image), without_extension(str(row.image))} - ids:
            ids_by_name.setdefault(name, set()).add(str(row.id))
    if unknown := listed - ids_by_name.keys():
        is_of_several = (frame["dataset"] != frame["dataset"].iloc[0]).any()
        hint = "; of several data sets, an id begins with the name of its set" if is_of_several else ""
        log.warning("data.exclude=%s: %d ids are not in the data, such as '%s'%s.", file, len(unknown), min(unknown),
                    hint)  # fmt: skip
    return set().union(*(ids_by_name[name] for name in listed & ids_by_name.keys()))


def _refuse_broken(
    root: Path, frame: pd.DataFrame, audit: Audit, data: DictConfig, needs_masks: bool, uses_masks: bool
) -> set[str]:
    """Refuse unusable images, unusable masks if masks are used, and lesions without a mask if masks are needed.

    Returns:
        Mask files that cannot be used and are not needed.
    """
    masks = {file for files in frame["masks"] for file in files}
    scaled = masks & set(audit.problems["mask_of_another_scale"])
    bad_masks = (masks & audit.broken.keys()) | (set() if data.get("resize_masks") else scaled)
    bad = sorted((set(frame["image"]) & audit.broken.keys()) | (bad_masks if uses_masks else set()))
    if bad:
        others = f" ({len(bad)} files are broken; `{name_command('audit')}` lists them)" if len(bad) > 1 else ""
        line = audit.describe(bad[0])
        raise UserError(f"{line if Path(bad[0]).is_absolute() else f'{root}/{line}'}{others}")
    if bad_masks:
        log.warning(
            "%d masks cannot be used, but this task does not need them (%s).",
            len(bad_masks),
            audit.describe(min(bad_masks)),
        )
    elif uses_masks and (ruled := sorted(masks & audit.rules.keys())):
        log.warning("%d masks do not have two plain levels and were read by a rule (%s); `%s` lists them.",
                    len(ruled), audit.describe(ruled[0], "mask_read_by_rule"), name_command("audit"))  # fmt: skip
    maskless = frame[(frame["masks"].map(len) == 0) & (frame["class"] != HEALTHY)]
    if needs_masks and len(maskless):
        raise UserError(
            f"'{maskless['id'].iloc[0]}' has no mask ({len(maskless)} images have none): segmentation needs "
            "the mask of each lesion: add it, or leave the images out with data.exclude=FILE.csv."
        )
    return bad_masks


def _draw_phantom(root: Path, images: int, seed: int) -> None:
    """Draw the phantom folder once, also for jobs that start together."""
    from bus_lightning.data.phantom import MARKER, draw_phantom  # not needed for real data

    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        drawn = _read_marker(root / MARKER)
        if not root.is_dir() or drawn == {}:
            for leftover in root.parent.glob(f".{root.name}.*/"):  # of a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            draw_phantom(root, images=images, seed=seed)
        elif drawn not in (None, {"images": images, "seed": seed}):
            log.warning("%s keeps its earlier images (%s): remove it to draw data.phantom.images=%d, seed=%d.",
                        root, json.dumps(drawn), images, seed)  # fmt: skip


def _read_marker(marker: Path) -> dict[str, Any] | None:
    """Read how a phantom folder was drawn; empty if that is damaged, which is logged, and None if it does not say."""
    if not os.path.lexists(marker):
        return None
    with suppress(OSError, UserError):
        drawn: dict[str, Any] = read_json(marker, most=_MARKER_BYTES)
        if drawn.keys() == {"images", "seed"}:
            return drawn
    log.warning("%s is damaged: the images of its folder are drawn again.", marker)
    return {}
