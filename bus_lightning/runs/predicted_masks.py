"""The masks that a classifier is given by segmenters: each image's from a run that has not seen its group.

A segmenter answers the images that it held out better than it will answer new ones if it has chosen its epoch by them,
and far better if it was trained on them. So that train, validation and test come from one distribution, the training
part is cross-fitted: parted, each part answered by a run that was trained on the others (`data.split.cross_fold`).
"""

import glob
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from bus_lightning.config.identity import identity
from bus_lightning.config.limits import are_limited
from bus_lightning.core.errors import UserError
from bus_lightning.data.prepare import PreparedData, files_hash
from bus_lightning.data.splits import Split
from bus_lightning.runs.finished import FinishedRun, find_runs, open_run

log = logging.getLogger(__name__)
_CURE = "`python train.py sweep=two_stage` trains all that are needed"


@dataclass(frozen=True)
class Segmenter:
    """A finished run that outlined lesions.

    Attributes:
        run: The run, whose folder keeps the masks.
        trained: The groups of near-duplicates that it was trained on, of the data as they are now.
    """

    run: FinishedRun
    trained: frozenset[int]

    @property
    def split(self) -> Split:
        """The images that it was trained on, and those that it held out."""
        return self.run.split

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.folder.path


def with_predicted_masks(prepared: PreparedData, split: Split, overlay: DictConfig, cross_fit: bool) -> PreparedData:
    """Add the column `predicted` to the index: the file of each image's mask, empty for images without one.

    Args:
        prepared: Index and groups.
        split: That of the classifier.
        overlay: The config group, whose `segmenters` is a pattern or a list of run folders.
        cross_fit: Whether the classifier itself tests a part of the training images, as `data.split.cross_fold` does.
            Its training masks may then come from segmenters that have seen that part, as in any stacking; none may
            have seen what is outside of its split.

    Raises:
        UserError: When the segmenters are not one network's, not finished, were trained on other data or on images that
            this classifier is tested on, or when an image of the split has no mask from a run that held it out.
    """
    segmenters = _find(overlay.segmenters, prepared)
    groups = prepared.groups
    tested = {groups[id_] for id_ in split.test}
    known = {groups[id_] for id_ in split.part("all")}
    for one in segmenters:
        if forbidden := (one.trained - known if cross_fit else one.trained & tested):
            twins = sum(groups[id_] in forbidden for id_ in one.split.train)
            raise UserError(
                f"{one.path} was trained on {twins} images that this classifier is tested on, or on their twins: "
                f"its masks would leak. Give both the same data.split; {_CURE}."
            )
    files = {id_: _mask_of(id_, groups[id_], segmenters) for id_ in prepared.frame["id"]}
    if missing := [id_ for id_ in split.part("all") if files[id_] is None]:
        for segmenter in segmenters:
            if limit := are_limited(segmenter.run.config.trainer):
                raise UserError(
                    f"{segmenter.path} has masks of only some of its images, because of {limit}: "
                    "remove that folder, and train the segmenter again without this limit."
                )
        raise UserError(
            f"overlay.segmenters={overlay.segmenters}: no run has held out '{missing[0]}' and kept its mask "
            f"({len(missing)} of {len(split.part('all'))} images): {_CURE}."
        )
    digest = hashlib.blake2b(digest_size=8)
    for id_, file in sorted(files.items()):
        digest.update(id_.encode() + (file.read_bytes() if file else b""))
    frame = prepared.frame.assign(predicted=[str(files[id_] or "") for id_ in prepared.frame["id"]])
    log.info("The masks are those of %s.", ", ".join(one.path.name for one in segmenters))
    names = tuple(str(one.path) for one in segmenters)  # a pattern would match runs that come later
    return replace(prepared, frame=frame, predicted_by=digest.hexdigest(), segmenters=names)


def _find(pattern: str | Sequence[str] | None, prepared: PreparedData) -> list[Segmenter]:
    """Find the runs of one segmenter, those that were trained on the most images first."""
    patterns = [pattern] if isinstance(pattern, str) else [glob.escape(str(path)) for path in pattern or ()]
    asked = pattern if isinstance(pattern, str) else ", ".join(map(str, pattern or ()))
    found: dict[str, list[Segmenter]] = {}
    foreign: list[Path] = []
    for folder in find_runs(*patterns):
        if not folder.config.is_file():
            continue
        run = open_run(folder.path, complete=False)
        if run.task != "segmentation":
            continue
        if run.files_hash and run.files_hash != files_hash(prepared.content):
            foreign.append(folder.path)  # of another grid in this folder
            continue
        if not folder.is_complete:
            raise UserError(
                f"{folder.path} is not complete ({_state(run)}), and a classifier needs its masks: train it "
                "first, or choose others with overlay.segmenters='RUNS'."
            )
        trained = frozenset(prepared.groups[id_] for id_ in run.split.train if id_ in prepared.groups)
        options = identity(run.config).items()
        decides = {key: value for key, value in options if not key.startswith("data.split.cross_fold")}
        key = repr([sorted(decides.items()), run.config.trainer.max_epochs])
        found.setdefault(key, []).append(Segmenter(run, trained))
    if not found and foreign:
        raise UserError(f"{foreign[0]} was trained on other files than {prepared.root} holds: {_CURE}.")
    if not found:
        raise UserError(f"overlay.segmenters={asked} matches no run of a segmenter: {_CURE}.")
    if len(found) > 1:
        names = ", ".join(sorted(runs[0].path.name for runs in found.values()))
        first = next(iter(found.values()))[0].path
        one = re.sub(r"(cross_fold-)[^_]+", r"\1*", first.name)
        raise UserError(
            f"overlay.segmenters={asked} matches several segmenters ({names}): choose one, as "
            f"overlay.segmenters='{first.with_name(one)}'."
        )
    (segmenters,) = found.values()
    return sorted(segmenters, key=lambda one: (-len(one.split.train), one.path.name))


def _state(run: FinishedRun) -> str:
    """Describe the state of a run, with the error if it failed."""
    return ": ".join(str(run.status[key]) for key in ("state", "error") if run.status.get(key)) or "not begun"


def _mask_of(id_: str, group: int, segmenters: list[Segmenter]) -> Path | None:
    """Choose an image's mask, from a run that tested it before one that chose its epoch by it."""
    for part in ("test", "val"):
        for one in segmenters:
            file = one.run.folder.masks / f"{id_}.png"
            if id_ in one.split.part(part) and group not in one.trained and file.is_file():
                return file.resolve()
    return None
