"""The images behind conditions: those that share their splits share their flow and their characteristics."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import DamagedError
from bus_lightning.core.files import is_there
from bus_lightning.data.splits import Split
from bus_lightning.metrics.columns import COUNTS
from bus_lightning.report.figures.inputs import PART_TITLES
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.images import find_recorded_images, own_folders, read_images
from bus_lightning.runs.sets import Sets, sets_of
from bus_lightning.statistics.conditions import Condition

ALL = "all"
MARKS = "text, calipers or frames"  # title of the column `marked`


@dataclass(frozen=True)
class Studied:
    """The images of the conditions with the same splits of the same data.

    Attributes:
        conditions: The conditions.
        splits: Their different splits; several are the folds of a cross-validation, or those of several seeds.
        images: A row per image, by id, as `read_images` returns it: at least `class` (missing if it is not known) and
            `group`. The other columns are missing in runs of an earlier version.
        sets: Their data sets.
    """

    conditions: list[Condition]
    splits: list[Split]
    images: pd.DataFrame
    sets: Sets = field(default_factory=lambda: Sets({}, {}))

    @property
    def is_recorded(self) -> bool:
        """Whether the runs have recorded what is known of each image; those of an earlier version have not."""
        return "width" in self.images

    @property
    def is_cross_validated(self) -> bool:
        """Whether each image is tested in one split at most, and there are several."""
        tested = [id_ for split in self.splits for id_ in split.test]
        return len(self.splits) > 1 and len(tested) == len(set(tested))

    @property
    def parts(self) -> dict[str, list[str]]:
        """Title -> ids: the parts of the split; of a cross-validation, all images and the test images of each fold."""
        if self.is_cross_validated:
            folds = {f"test images of fold {number}": split.part("test") for number, split in enumerate(self.splits, 1)}
            return {ALL: sorted({id_ for split in self.splits for id_ in split.part("all")})} | folds
        parts = {PART_TITLES[part]: self.splits[0].part(part) for part in PARTS}
        return {title: ids for title, ids in parts.items() if ids}


def read_studied(conditions: Sequence[Condition]) -> list[Studied]:
    """Collect the images of conditions, without those that only predict masks or calibrate for others."""
    by_splits: dict[tuple[str, frozenset[str]], list[Condition]] = {}
    for condition in conditions:
        if not condition.is_cross_fitted:
            hashes = frozenset(split.hash for split in condition.splits.values())
            by_splits.setdefault((condition.files, hashes), []).append(condition)
    return [_studied(members) for members in by_splits.values()]


def _studied(conditions: list[Condition]) -> Studied:
    splits: dict[str, Split] = {}
    for condition in conditions:
        for run in condition.runs:
            splits.setdefault(condition.splits[run.path.name].hash, condition.splits[run.path.name])
    cases = pd.concat([condition.cases[["id", "label"]] for condition in conditions])
    labels = cases.drop_duplicates("id").set_index("id")["label"]
    groups = {id_: group for split in splits.values() for id_, group in split.groups.items()}
    ids = pd.Index(sorted({id_ for split in splits.values() for id_ in split.part("all")}), name="id")
    images = pd.DataFrame({"class": labels.reindex(ids), "group": ids.map(groups)}, index=ids)
    recorded = _recorded(conditions, splits)
    if recorded is not None:
        images = recorded.reindex(ids).assign(group=images["group"])
    elif len(counted := [condition.cases for condition in conditions if "tp" in condition.cases]):
        images["lesion_share"] = _share_of_lesion(pd.concat(counted)).reindex(ids)
    return Studied(conditions, list(splits.values()), images, _sets(conditions))


def _share_of_lesion(cases: pd.DataFrame) -> "pd.Series[float]":
    """Compute the lesion's share of each evaluated image from the counts of its pixels."""
    each = cases.dropna(subset=list(COUNTS)).drop_duplicates("id").set_index("id")
    share: pd.Series[float] = (each["tp"] + each["fn"]) / each[list(COUNTS)].sum(axis=1)
    return share


def _recorded(conditions: list[Condition], splits: Mapping[str, Split]) -> pd.DataFrame | None:
    """Join what the runs have recorded of their images; None if that of an image is missing."""
    tables: dict[str, pd.DataFrame] = {}
    for condition in conditions:
        for run in condition.runs:
            split = condition.splits[run.path.name]
            if split.hash not in tables and (images := find_recorded_images(run, split)) is not None:
                tables[split.hash] = images
    if tables.keys() != splits.keys():
        for path in (path for condition in conditions for path in condition.averaged):
            with suppress(DamagedError):
                tables[str(path)] = read_images(RunDir(path).images)
    if not tables:
        return None
    images = pd.concat(tables.values()).drop_duplicates("id").set_index("id")
    return images if {id_ for split in splits.values() for id_ in split.part("all")} <= set(images.index) else None


def _sets(conditions: list[Condition]) -> Sets:
    """Read the data sets of the first run that has recorded its flow; else those of the first run."""
    first: Sets | None = None
    for condition in conditions:
        for run in condition.runs:
            split = condition.splits[run.path.name]
            for folder in (*own_folders(run, split), *map(RunDir, condition.averaged)):
                if first and not is_there(folder.sets):  # of an earlier version, without a flow
                    continue
                with suppress(DamagedError):  # the checks name it
                    sets = sets_of(folder, condition.config, split)
                    if sets.flow:
                        return sets
                    first = first or sets
    return first or Sets({}, {})


def describe_conditions(studied: Studied, number: int = 4) -> str:
    """Name the conditions of these images, some of them if they are many."""
    names = [condition.name for condition in studied.conditions]
    if len(names) <= number:
        return ", ".join(names)
    more = len(names) - number
    return f"{', '.join(names[:number])} and {more} more condition{'s' * (more > 1)}"


def count_patients(images: pd.DataFrame) -> int | None:
    """Count the patients of images; None if an image has none, or they were not recorded."""
    if "patient" not in images or images["patient"].isna().any() or images.empty:
        return None
    return len(images[["dataset", "patient"]].drop_duplicates())


def count_classes(images: pd.DataFrame) -> dict[str, int] | None:
    """Count the images of each class; None if the class of an image is not known."""
    if images["class"].isna().any():
        return None
    return {str(name): int(number) for name, number in images["class"].value_counts().sort_index().items()}


def sum_flow(sets: Sets) -> dict[str, Any] | None:
    """Add the flows of all data sets; None for a run of an earlier version."""
    if not sets.flow:
        return None
    total: dict[str, Any] = {"left_out": {}}
    for flow in sets.flow.values():
        for key, value in flow.items():
            if key != "left_out":
                total[key] = total.get(key, 0) + value
        for reason, number in (flow.get("left_out") or {}).items():
            total["left_out"][reason] = total["left_out"].get(reason, 0) + number
    return total
