"""Open finished runs for a bundle, and refuse those that do not belong together."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from bus_lightning.config.identity import identity
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import is_there
from bus_lightning.data.datamodule import BusDataModule, example_images
from bus_lightning.data.phantom import MARKER
from bus_lightning.data.prepare import PreparedData, files_hash, prepare_data
from bus_lightning.diagnosis.trained_on import TrainingData
from bus_lightning.models.output_check import check_output, shapes_of
from bus_lightning.runs.finished import FinishedRun, find_runs, open_run
from bus_lightning.runs.predicted_masks import with_predicted_masks

log = logging.getLogger(__name__)
BUSI_CONTENT = "8c32504d11914feb"  # first digits of the `content_hash` of the published 780 images and 798 masks
# Keys in which a run and its folds may differ.
_OF_A_FOLD = ("seed", "data.split.cross_fold", "data.split.cross_folds")


@dataclass(frozen=True)
class RebuiltRun:
    """A run with its network and its images.

    Attributes:
        run: Its folder.
        net: The kept weights, on the CPU, for evaluation.
        prepared: Index and groups.
        data: Its images.
    """

    run: FinishedRun
    net: torch.nn.Module
    prepared: PreparedData
    data: BusDataModule


def open_for(path: Path, task: str, trusted: Iterable[str] = ()) -> FinishedRun:
    """Open a complete run of a task.

    Args:
        path: The folder.
        task: segmentation or classification.
        trusted: The user's own packages that its network may come from.

    Raises:
        UserError: If it is not a complete run of this task.
    """
    run = open_run(path, complete=False, trusted=trusted)
    if run.ensemble:
        first = run.ensemble.members[0].folder(run.folder).path
        raise UserError(
            f"{path} is an ensemble, which has no network to export: give one of its runs, such as {first}."
        )
    if run.task != task:
        raise UserError(f"{path} is a {run.task} run, but a {task} run is needed.")
    run.require_complete()
    run.split  # noqa: B018 (read here, where a damaged file is refused)
    return run


def rebuild(run: FinishedRun) -> RebuiltRun:
    """Rebuild a run's network and find its images again.

    Raises:
        UserError: If it kept no checkpoint, its images are missing or have changed, or it does not return logits.
    """
    path, net, own = run.folder.path, run.network(), run.config.copy()
    own.data.exclude, own.data.drop_conflicts, own.data.workers = None, False, 0  # the split names the images
    prepared = prepare_data(own.data, needs_masks=own.task.name == "segmentation", only=run.split.part("all"))
    prepared.frame["label"] = prepared.frame["class"].map(run.classes.index)
    if files_hash(prepared.content) != run.files_hash:
        raise UserError(f"{prepared.root} does not hold the files that {path} was trained on: restore them.")
    if own.overlay.source == "predicted":
        prepared = with_predicted_masks(prepared, run.split, own.overlay, own.data.split.cross_fold is not None)
    data = BusDataModule(prepared, run.split, own, full_masks=own.task.name == "segmentation", augments=False)
    images = example_images(data)
    check_output(net.eval(), images, shapes_of(own.task.name, images, len(run.classes)))
    return RebuiltRun(run, net, prepared, data)


def training_data(opened: RebuiltRun, name: str | None) -> TrainingData:
    """Describe the training images of a run by the name of their data set; without a name, only BUSI is named."""
    run = opened.run
    drawn = bool(run.config.data.get("phantom")) or (opened.prepared.root / MARKER).is_file()
    known = "BUSI" if run.files_hash == BUSI_CONTENT else ""
    return TrainingData("" if drawn else name or known, drawn, len(run.split.train), run.files_hash)


def refuse_strangers(segmenter: FinishedRun, classifier: FinishedRun) -> None:
    """Raise UserError for a pair whose results would not hold for new images.

    That is, the classifier was given ground truth, the data differ, or the segmenter was trained on images that the
    classifier is tested on.
    """
    path, overlay = classifier.folder.path, classifier.overlay
    if overlay and overlay.source != "predicted":
        raise UserError(
            f"{path} was given the ground-truth {'classes' if overlay.style == 'class_mark' else 'masks'} "
            f"(overlay={overlay.style}), which a new image does not have: train it with overlay=predicted."
        )
    if segmenter.files_hash != classifier.files_hash:
        raise UserError(f"{segmenter.folder.path} and {path} were trained on different data: give runs of one folder.")
    groups = classifier.split.groups
    seen_groups = {segmenter.split.groups[id_] for id_ in segmenter.split.train}
    seen_ids = set(segmenter.split.train)
    if leaked := [id_ for id_ in classifier.split.test if id_ in seen_ids or groups[id_] in seen_groups]:
        raise UserError(
            f"{segmenter.folder.path} was trained on {len(leaked)} images that {path} is tested on, or on their "
            f"near-duplicates, for example '{leaked[0]}': give both the same data.split."
        )


def left_out_of_bundles(run: FinishedRun) -> str:
    """Name the options of `predict` that the run was tested with, and that a bundle does not have; empty for none."""
    return " and ".join(f"predict.{name}=true" for name, value in run.config.predict.items() if value)


def refuse_other_masks(segmenter: FinishedRun, classifier: RebuiltRun) -> None:
    """Raise UserError if the classifier was tested with the masks of another segmenter."""
    if "predicted" not in classifier.prepared.frame:
        return
    masks = classifier.prepared.frame.set_index("id")["predicted"].loc[classifier.run.split.test]
    folder = segmenter.folder.masks.resolve()
    if any(file and not Path(file).is_relative_to(folder) for file in masks):
        raise UserError(
            f"{classifier.run.folder.path} was tested with masks of another run than {segmenter.folder.path}: give the "
            "segmenter that its overlay.segmenters names."
        )


def read_folds(pattern: str, classifier: FinishedRun) -> list[FinishedRun]:
    """Read the runs that match a pattern and predicted the classifier's training images.

    Other tasks are skipped. A damaged run is left out with a warning; `calibrate` refuses if images are missing then.

    Raises:
        UserError: When there are none, one is not complete, or is of another model, overlay, data or split.
    """
    folds = []
    for folder in find_runs(pattern):
        if (
            not is_there(folder.config)
            or folder.is_ensemble
            or folder.path.resolve() == classifier.folder.path.resolve()
        ):
            continue
        try:
            if open_run(folder.path, complete=False).task == "classification":
                fold = open_for(folder.path, "classification")
                fold.cases, fold.status  # noqa: B018 (read here, where a damaged file leaves the run out)
                folds.append(fold)
        except DamagedError as error:
            log.warning("Left out of the calibration: %s", error)
    if not folds:
        raise UserError(f"--out-of-fold '{pattern}' matches no run of a classifier except the exported one.")
    for run in folds:
        _refuse_other_recipe(run, classifier)
    return folds


def _refuse_other_recipe(run: FinishedRun, classifier: FinishedRun) -> None:
    """Refuse a fold that was trained differently, or that predicts images that the classifier is tested on."""
    path, exported = run.folder.path, classifier.folder.path
    recipe, expected = (
        {key: value for key, value in identity(given.config).items() if key not in _OF_A_FOLD}
        | {"trainer.max_epochs": given.config.trainer.max_epochs}
        for given in (run, classifier)
    )
    if different := sorted(key for key in recipe | expected if recipe.get(key) != expected.get(key)):
        key = different[0]
        raise UserError(
            f"{path} is not a fold of {exported}: {key} is {recipe.get(key)}, not {expected.get(key)}. "
            "Choose other runs with --out-of-fold."
        )
    if run.folder.status.get("masks") != classifier.folder.status.get("masks"):
        raise UserError(f"{path} was given other masks than {exported}: choose the runs of one segmenter.")
    if run.files_hash != classifier.files_hash:
        raise UserError(f"{path} was trained on other data than {exported}: choose other runs with --out-of-fold.")
    groups = classifier.split.groups
    held_out = {groups[id_] for id_ in classifier.split.test}
    if forbidden := [id_ for id_ in run.split.test if id_ not in groups or groups[id_] in held_out]:
        raise UserError(
            f"{path} predicts '{forbidden[0]}', which the classifier is tested on: a calibration on it would look too "
            "good. Give runs of data.split.cross_fold."
        )
    if {groups[id_] for id_ in run.split.test} & {groups[id_] for id_ in run.split.train if id_ in groups}:
        raise UserError(
            f"{path} was trained on near-duplicates of the images it predicts: use data.split.method=grouped."
        )
