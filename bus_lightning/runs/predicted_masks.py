"""Masks that segmenters predict for a classifier, each by a run that has not seen the image's group.

A segmenter's masks are better on the images that selected its epoch, and far better on its training images. The
training part is therefore cross-fitted, so that the masks of all parts come from one distribution: it is divided, and
each part is predicted by a run that was trained on the others (`data.split.cross_fold`).
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
from bus_lightning.core.arguments import in_home
from bus_lightning.core.commands import name_command
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import is_there
from bus_lightning.core.reading import read_bytes
from bus_lightning.data.prepare import PreparedData, files_hash
from bus_lightning.data.splits import Split
from bus_lightning.runs.finished import FinishedRun, find_runs, open_run

log = logging.getLogger(__name__)
_CURE = f"`{name_command('train')} sweep=two_stage` trains all that are needed"


@dataclass(frozen=True)
class Segmenter:
    """A finished run of a segmenter.

    Attributes:
        run: The run, whose folder keeps the masks.
        trained: The groups of near-duplicates in its training part, numbered as in the present data.
    """

    run: FinishedRun
    trained: frozenset[int]

    @property
    def split(self) -> Split:
        """Its training images and its held-out images."""
        return self.run.split

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.folder.path


def with_predicted_masks(prepared: PreparedData, split: Split, overlay: DictConfig, cross_fit: bool) -> PreparedData:
    """Add the column `predicted` to the index: the file of each image's mask, empty for images without one.

    Args:
        prepared: Index and groups.
        split: The classifier's split.
        overlay: The config group, whose `segmenters` is a pattern or a list of run folders.
        cross_fit: Whether the classifier itself tests a part of the training images (`data.split.cross_fold`). Its
            training masks may then come from segmenters that have seen that part, as in any stacking, but none that
            have seen images outside of its split.

    Raises:
        UserError: If the segmenters are of different networks, not finished, or were trained on other data or on test
            images of the classifier, or if an image of the split has no mask from a run that held it out.
    """
    segmenters = _find(overlay.segmenters, prepared)
    groups = prepared.groups
    tested = {groups[id_] for id_ in split.test}
    known = {groups[id_] for id_ in split.part("all")}
    for segmenter in segmenters:
        if forbidden := (segmenter.trained - known if cross_fit else segmenter.trained & tested):
            number = sum(groups[id_] in forbidden for id_ in segmenter.split.train)
            raise UserError(
                f"{segmenter.path} was trained on {number} images that this classifier is tested on, or on their "
                f"near-duplicates: its masks would leak. Give both the same data.split; {_CURE}."
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
        digest.update(id_.encode() + (read_bytes(file) if file else b""))
    frame = prepared.frame.assign(predicted=[str(files[id_] or "") for id_ in prepared.frame["id"]])
    log.info("The masks are those of %s.", ", ".join(segmenter.path.name for segmenter in segmenters))
    names = tuple(str(segmenter.path) for segmenter in segmenters)  # a pattern would match runs that come later
    return replace(prepared, frame=frame, predicted_by=digest.hexdigest(), segmenters=names)


def _find(pattern: str | Sequence[str] | None, prepared: PreparedData) -> list[Segmenter]:
    """Find the runs of one segmenter, those with the most training images first."""
    if isinstance(pattern, str):
        patterns = [in_home(pattern)]
    else:
        patterns = [glob.escape(in_home(str(path))) for path in pattern or ()]
    requested = pattern if isinstance(pattern, str) else ", ".join(map(str, pattern or ()))
    runs_of: dict[str, list[Segmenter]] = {}  # network -> its runs
    foreign: list[Path] = []
    for folder in find_runs(*patterns):
        if not is_there(folder.config) or folder.is_ensemble:
            continue
        try:
            run = open_run(folder.path, complete=False)
            if run.task != "segmentation":
                continue
            run.status, run.split  # noqa: B018 (read here, where a damaged file leaves the run out)
        except DamagedError as error:
            log.warning("Its masks are not used: %s", error)
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
        runs_of.setdefault(key, []).append(Segmenter(run, trained))
    if not runs_of and foreign:
        raise UserError(f"{foreign[0]} was trained on other files than {prepared.root} holds: {_CURE}.")
    if not runs_of:
        raise UserError(f"overlay.segmenters={requested} matches no run of a segmenter: {_CURE}.")
    if len(runs_of) > 1:
        names = ", ".join(sorted(runs[0].path.name for runs in runs_of.values()))
        first = next(iter(runs_of.values()))[0].path
        example = re.sub(r"(cross_fold-)[^_]+", r"\1*", first.name)
        raise UserError(
            f"overlay.segmenters={requested} matches several segmenters ({names}): choose one, such as "
            f"overlay.segmenters='{first.with_name(example)}'."
        )
    (segmenters,) = runs_of.values()
    return sorted(segmenters, key=lambda segmenter: (-len(segmenter.split.train), segmenter.path.name))


def _state(run: FinishedRun) -> str:
    """Describe the state of a run, with the error if it failed."""
    return ": ".join(str(run.status[key]) for key in ("state", "error") if run.status.get(key)) or "not started"


def _mask_of(id_: str, group: int, segmenters: list[Segmenter]) -> Path | None:
    """Choose an image's mask: from a run that tested it, else from one that validated on it."""
    for part in ("test", "val"):
        for segmenter in segmenters:
            file = segmenter.run.folder.masks / f"{id_}.png"
            if id_ in segmenter.split.part(part) and group not in segmenter.trained and is_there(file):
                return file.resolve()
    return None
