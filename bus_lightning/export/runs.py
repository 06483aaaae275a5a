"""Open finished runs for a bundle, and rebuild their networks and images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import is_there
from bus_lightning.data.datamodule import BusDataModule, example_images
from bus_lightning.data.phantom import MARKER
from bus_lightning.data.prepare import PreparedData, files_hash, prepare_data
from bus_lightning.diagnosis.trained_on import TrainingData
from bus_lightning.models.output_check import check_output, shapes_of
from bus_lightning.runs.finished import FinishedRun, open_run
from bus_lightning.runs.predicted_masks import with_predicted_masks

BUSI_CONTENT = "8c32504d11914feb"  # first digits of the `content_hash` of the published 780 images and 798 masks


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


def open_for_bundle(path: Path, trusted: Iterable[str] = ()) -> FinishedRun:
    """Open a complete run that has a network.

    Args:
        path: The folder.
        trusted: The user's own packages that its network may come from.

    Raises:
        UserError: If it is an ensemble, not complete, or has no checkpoint.
    """
    run = open_run(path, complete=False, trusted=trusted)
    if run.ensemble:
        members = " ".join(str(member.folder(run.folder).path) for member in run.ensemble.members)
        raise UserError(f"{path} is an ensemble, which has no network to export: give its runs, --run {members}")
    run.require_complete()
    if not is_there(run.folder.best):
        raise UserError(f"{path} has no checkpoints/best.ckpt: train it again, or copy its checkpoint back.")
    run.split  # noqa: B018 (read here, where a damaged file is refused)
    return run


def rebuild(run: FinishedRun) -> RebuiltRun:
    """Rebuild a run's network and find its images again.

    Raises:
        UserError: If it kept no checkpoint, its images are missing or have changed, or it does not return logits.
    """
    path, net, own = run.folder.path, run.network(), run.config.copy()
    own.data.exclude, own.data.drop_conflicts, own.data.workers = None, False, 0  # the split names the images
    prepared = prepare_data(own.data, needs_masks=own.task.name != "classification", only=run.split.part("all"))
    prepared.frame["label"] = prepared.frame["class"].map(run.classes.index)
    if files_hash(prepared.content) != run.files_hash:
        raise UserError(f"{prepared.root} does not hold the files that {path} was trained on: restore them.")
    if own.overlay.source == "predicted":
        prepared = with_predicted_masks(prepared, run.split, own.overlay, own.data.split.cross_fold is not None)
    data = BusDataModule(prepared, run.split, own, full_masks=own.task.name != "classification", augments=False)
    images = example_images(data)
    check_output(net.eval(), images, shapes_of(own.task.name, images, len(run.classes)))
    return RebuiltRun(run, net, prepared, data)


def training_data(opened: Sequence[RebuiltRun], name: str | None) -> TrainingData:
    """Describe the images that runs were trained on by the name of their data set; without a name, only BUSI is named.

    Args:
        opened: Runs of the same data; the images that any of them was trained on are counted.
        name: The name.
    """
    run, prepared = opened[0].run, opened[0].prepared
    images = {id_ for each in opened for id_ in each.run.split.train}
    trained = set(prepared.frame.loc[prepared.frame["id"].isin(images), "dataset"])
    drawn = bool(run.config.data.get("phantom")) or any(
        (each.root / MARKER).is_file() for each in prepared.sets if each.name in trained
    )
    known = "BUSI" if run.files_hash == BUSI_CONTENT else ""
    return TrainingData("" if drawn else name or known, drawn, len(images), run.files_hash)


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
