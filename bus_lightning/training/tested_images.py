"""Find the images that a run is tested on: its own, or those of other data sets, with the classes of the run."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.config.settle import uses_masks
from bus_lightning.config.split_options import PARTS
from bus_lightning.config.tested_data import names_data
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.collection import known_content_of
from bus_lightning.data.levels import Scale, widest
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.sources.guessing import guess_layout
from bus_lightning.data.sources.registry import DataSet
from bus_lightning.data.sources.source_index import NO_CLASS
from bus_lightning.data.splits import Split, load_split, make_named_split
from bus_lightning.runs.finished import FinishedRun
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.runs.seen import Seen, holds_the_data_of, seen_images

log = logging.getLogger(__name__)
CHOICES = (None, "own", "all", "unseen")  # of cfg.split; anything else is a file


@dataclass(frozen=True)
class EvaluatedImages:
    """The images of an evaluation.

    Attributes:
        prepared: Index and groups; the labels count `classes`.
        split: The ids of each part.
        classes: Those of the run, and after them, for a segmenter, further ones of the images.
    """

    prepared: PreparedData
    split: Split
    classes: list[str]


def find_images(run: FinishedRun, config: DictConfig, cfg: DictConfig) -> EvaluatedImages:
    """Read the images of an evaluation, and split them.

    Args:
        run: The run.
        config: Its config, settled for the evaluation.
        cfg: The config of `evaluate.py`.

    Raises:
        UserError: If the images cannot be used, the run does not know their classes, or it has seen some of them.
    """
    path, is_other_data = run.folder.path, names_data(cfg.data) or cfg.split in ("all", "unseen")
    named = run.split if cfg.split in CHOICES else load_split(Path(cfg.split))
    choose = partial(_choose_classes, run, cfg.data.get("classes")) if names_data(cfg.data) else None
    only = None if is_other_data else named.part("all")
    needs_masks = config.task.name != "classification"
    prepared = prepare_data(config.data, needs_masks, only, uses_masks(config), choose)
    # The images are not read on a smaller scale than the training images, which would brighten them.
    prepared = replace(prepared, scale=widest([prepared.scale, Scale(**run.status.get("scale") or {})]))
    classes = list(dict.fromkeys([*run.classes, *sorted(prepared.frame["class"])]))
    prepared.frame["label"] = prepared.frame["class"].map(classes.index)
    split = _split_for(run, named, cfg, prepared)
    if outside := sorted(set(split.part("all")) - set(prepared.frame["id"])):
        raise DamagedError(run.folder.config, f"data.classes lacks the class of '{outside[0]}', which split.json has")
    if not split.part(cfg.part):
        cure = ": all images of another data set are test images, so use part=test" if names_data(cfg.data) else ""
        raise UserError(f"{path}: the part '{cfg.part}' of its split has no images{cure}.")
    log.info("%s: evaluating %d images", path, len(split.part(cfg.part)))
    if config.overlay.source != "predicted":
        return EvaluatedImages(prepared, split, classes)
    if is_other_data:
        raise UserError(
            f"{path}: its input needs the masks of segmenters, which exist for its own images only. For others, make a "
            "bundle: python -m bus_lightning.export."
        )
    is_cross_fold = config.data.split.cross_fold is not None
    return EvaluatedImages(with_predicted_masks(prepared, split, config.overlay, is_cross_fold), split, classes)


def count_seen(run: FinishedRun, images: EvaluatedImages) -> int:
    """Count the test images that a run has seen in training or validation; 0 if the parts are its own."""
    if images.split is run.split:
        return 0
    seen = seen_images(run.folder, run.config.data, run.split, images.prepared)
    return len(seen.images.keys() & set(images.split.test))


def _choose_classes(run: FinishedRun, requested: Sequence[str] | None, sets: Sequence[DataSet]) -> list[str]:
    """Choose the classes of other data sets that are tested, those of the run first.

    Raises:
        UserError: If a network that predicts classes does not know one of them.
    """
    counts = {dataset.root: dataset.index.frame["class"].value_counts().to_dict() for dataset in sets}
    present = {name for dataset in sets for name in dataset.classes if name in counts[dataset.root]}
    chosen = set(requested or present)
    known = [name for name in run.classes if name in chosen]
    further = sorted(chosen - set(known))
    if run.task == "segmentation":  # it needs no class
        return known + further
    if further and not requested and holds_the_data_of(run.folder, known_content_of(sets, Path(run.config.data.cache))):
        return known  # the training left them out
    path = run.folder.path
    if present == {NO_CLASS}:
        raise UserError(
            f"{_join(counts)} has no classes, which are needed to test {path} ({run.task}): give them in a table, "
            "data=table. A segmenter can be tested without."
        )
    if unknown := [name for name in further if name not in present]:
        raise UserError(
            f"data.classes: no images of class '{unknown[0]}' in {_join(counts)}; it has {', '.join(sorted(present))}."
        )
    if further:
        having = [root for root, numbers in counts.items() if numbers.keys() & set(further)]
        listed = ", ".join(f"{name}: {sum(numbers.get(name, 0) for numbers in counts.values())}" for name in further)
        raise UserError(
            f"{_join(having or counts)} has classes that {path} does not know ({listed}; it knows "
            f"{', '.join(run.classes)}): map all words to its classes with data.map.class, leave images out with "
            f"'data.drop.class=[{','.join(further)}]', or choose with data.classes.{'' if known else _hint(sets)}"
        )
    if missing := [name for name in run.classes if name not in known]:
        log.info(
            "%s: %s has no images of class %s, which the network can still predict. Metrics that need all classes, "
            "such as the macro AUC, are undefined.", path, _join(counts), ", ".join(missing),
        )  # fmt: skip
    return known


def _hint(sets: Sequence[DataSet]) -> str:
    """Name another layout that a folder of classes, none of which the run knows, may have; empty if none fits."""
    guess = guess_layout(sets[0].root) if [dataset.name for dataset in sets] == ["folder"] else ""
    return f" {guess}" if "try data=" in guess else ""


def _folders(prepared: PreparedData) -> str:
    """Name the folders of the data sets; the root of several sets is only a folder above them."""
    return _join(dataset.root for dataset in prepared.sets)


def _join(roots: Iterable[Path]) -> str:
    return " and ".join(map(str, roots))


def _split_for(run: FinishedRun, named: Split, cfg: DictConfig, prepared: PreparedData) -> Split:
    """Return the run's split, the one that the user names, or every image of other data.

    Raises:
        UserError: If images are missing, or the run has seen some of them in training and `split` does not say how to
            treat them.
    """
    path, known = run.folder.path, set(prepared.frame["id"])
    is_own = holds_the_data_of(run.folder, prepared.content)
    if cfg.split in (None, "own") and is_own:
        is_whole = not names_data(cfg.data) or known.issuperset(named.part("all"))
        return named if is_whole else _own_parts(named, prepared, Seen({}, True))  # data.classes leaves some out
    seen = seen_images(run.folder, run.config.data, run.split, prepared)
    if cfg.split not in CHOICES:
        if missing := set(named.part("all")) - known:
            raise UserError(
                f"split={cfg.split}: '{min(missing)}' is not in {_folders(prepared)} ({len(missing)} such ids)."
            )
        _warn(path, [id_ for id_ in named.test if id_ in seen.images], len(named.test), seen)
        return named
    if cfg.split == "own":
        return _own_parts(named, prepared, seen)
    if cfg.split is None and seen.images:
        _refuse(path, seen, prepared, shares_ids=bool(known & set(named.test)))
    tested = sorted(known - seen.images.keys()) if cfg.split == "unseen" else sorted(known)
    if not tested:
        raise UserError(
            f"split=unseen: {path} has seen every image of {_folders(prepared)} in training: choose other data."
        )
    _warn(path, [id_ for id_ in tested if id_ in seen.images], len(tested), seen)
    log.info("%s: %d of the %d images of %s are test images", path, len(tested), len(known), _folders(prepared))
    return make_named_split({"train": [], "val": [], "test": tested}, "file", prepared.groups)


def _own_parts(named: Split, prepared: PreparedData, seen: Seen) -> Split:
    """Return the run's parts, as far as other data have images with the same ids.

    Raises:
        UserError: If they have none, or the ids are other images.
    """
    known = set(prepared.frame["id"])
    parts = {part: [id_ for id_ in named.part(part) if id_ in known] for part in PARTS}
    if not any(parts.values()):
        raise UserError(
            f"split=own: {_folders(prepared)} has no id of the run's split ('{named.part('all')[0]}' is one of the "
            f"run's, '{min(known)}' one of the data; of several data sets, an id begins with the name of its set): use "
            "split=unseen, which compares pixels."
        )
    learnt_groups = {named.groups[id_] for id_ in (*named.train, *named.val)}
    # A random split may have near-duplicates in two parts; any other match is a foreign image.
    foreign = [id_ for id_ in parts["test"] if id_ in seen.images and named.groups[id_] not in learnt_groups]
    if foreign and seen.by_pixels:
        raise UserError(
            f"split=own: the run has seen {len(foreign)} of the test images of {_folders(prepared)} in training (such "
            f"as '{foreign[0]}', which shows '{seen.images[foreign[0]]}'), so the ids do not name the same images. "
            "Use split=unseen or split=all."
        )
    return make_named_split(parts, named.method, prepared.groups)


def _refuse(path: Path, seen: Seen, prepared: PreparedData, shares_ids: bool) -> None:
    """Refuse a folder with images that the run has seen, if `split` does not say how to treat them."""
    example, number = min(seen.images), len(seen.images)
    if seen.by_pixels:
        unseen, every = "split=unseen (test only the others)", "split=all (test all images anyway)"
        own = "split=own (if the ids name the same images: use the run's parts)"
        raise UserError(
            f"{_folders(prepared)}: {path} has seen {number} of its {len(prepared.frame)} images in training or "
            f"validation ('{example}' shows '{seen.images[example]}'): pass "
            + (f"{unseen}, {every} or {own}." if shares_ids else f"{unseen} or {every}.")
        )
    raise UserError(
        f"{_folders(prepared)} holds other files than the run was trained on, but {number} of its ids are among the "
        "training and validation images: pass split=own (if the ids name the same images: use the run's parts) or "
        "split=all (they are other images)."
    )


def _warn(path: Path, ids: list[str], number: int, seen: Seen) -> None:
    """Warn if the run has seen test images, so that the scores are too good."""
    if ids:
        log.warning(
            "%s: the run has seen %d of %d test images in training or validation ('%s' shows '%s'): the scores are too "
            "good.", path, len(ids), number, ids[0], seen.images[ids[0]],
        )  # fmt: skip
