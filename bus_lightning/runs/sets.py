"""Which data sets a run, or an evaluation of it, was trained and tested on: `sets.json`, which holds counts only."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.config.split_options import PARTS
from bus_lightning.core.files import is_there, write_aside
from bus_lightning.core.printable import printable
from bus_lightning.data.described import describe_set, tabulate_images
from bus_lightning.data.flow import count_flow
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.sources.registry import SOURCES, DataSet, get_source
from bus_lightning.data.splits import Split
from bus_lightning.runs.contents import read_sets
from bus_lightning.runs.finished import FinishedRun
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.images import write_images
from bus_lightning.runs.seen import holds_the_data_of

Counts = Mapping[str, int | None]


@dataclass(frozen=True)
class Sets:
    """The data sets of a run, or of one of its evaluations.

    Attributes:
        described: Name of the set -> `data`, its name in the config, and what `describe_set` returns. For a run of an
            earlier version, only its name.
        parts: Part -> name of the set -> number of its `images`, `groups` and `patients` in the part; `patients` is
            None if not every image has one.
        seen: Number of test images that the run has seen in training.
        flow: Name of the set -> what `count_flow` returns; empty for a run of an earlier version.
    """

    described: Mapping[str, Mapping[str, Any]]
    parts: Mapping[str, Mapping[str, Counts]]
    seen: int = 0
    flow: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the sets with training images."""
        return tuple(name for name in self.described if name in self.parts.get("train", {}))


def write_sets(
    folder: RunDir, prepared: PreparedData, split: Split, run: FinishedRun | None = None, seen: int = 0
) -> None:
    """Write `sets.json` and `images.csv` of a run or of an evaluation.

    Args:
        folder: The folder of the run or of the evaluation.
        prepared: The images.
        split: Their parts.
        run: For an evaluation, the run.
        seen: For an evaluation, the number of test images that the run has seen in training.
    """
    frame = prepared.frame
    names = {dataset.name: _name(dataset, prepared, run) for dataset in prepared.sets}
    described = {
        name: {"data": key} | (describe_set(own, prepared.audit) if prepared.audit else {})
        for key, name in names.items()
        if len(own := frame[frame["dataset"] == key])
    }
    set_of = dict(zip(frame["id"], frame["dataset"].map(names), strict=True))
    patient_of = dict(zip(frame["id"], zip(frame["dataset"], frame["patient"], strict=True), strict=True))
    parts = {part: _count(split.part(part), set_of, split.groups, patient_of) for part in PARTS}
    used = frame["dataset"].value_counts()
    flow = {
        names[dataset.name]: count_flow(dataset, prepared.left_out.get(dataset.name, {}), int(used[dataset.name]))
        for dataset in prepared.sets
        if dataset.name in used.index
    }
    content = {"sets": described, "parts": parts, "seen": seen, "flow": flow}
    write_aside(folder.sets, json.dumps(content, indent=1, allow_nan=False) + "\n")
    if prepared.audit:
        images = tabulate_images(frame, prepared.audit)  # all of them, so that a patient has one number in all splits
        images = images[images["id"].isin(split.part("all"))]
        write_images(folder, images.assign(dataset=images["dataset"].map(names)))


def sets_of(folder: RunDir, config: DictConfig, split: Split) -> Sets:
    """Read the data sets of a run; those of a run of an earlier version are named by its config.

    Args:
        folder: The run's folder.
        config: Its config.
        split: Its split.

    Raises:
        DamagedError: If sets.json is damaged.
    """
    if is_there(folder.sets):
        return read_sets_of(folder)
    options = options_by_set(config.data)
    names = {key: _older_name(key, own["root"], len(options) == 1) for key, own in options.items()}
    ids = split.part("all")
    set_of = dict(zip(ids, sets_of_ids(ids, list(names.values())), strict=True))
    parts = {part: _count(split.part(part), set_of, split.groups, {}) for part in PARTS}
    return Sets({name: {"data": key} for key, name in names.items()}, parts)


def read_sets_of(folder: RunDir) -> Sets:
    """Read `sets.json` of a run or of an evaluation.

    Raises:
        DamagedError: If it is damaged.
    """
    content = read_sets(folder.sets)
    described = {printable(name): values for name, values in (content.get("sets") or {}).items()}
    parts = {
        part: {printable(name): counts for name, counts in by_set.items()}
        for part, by_set in (content.get("parts") or {}).items()
    }
    flow = {printable(name): counts for name, counts in (content.get("flow") or {}).items()}
    return Sets(described, parts, content.get("seen") or 0, flow)


def sets_of_ids(ids: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the name of the set of each image: of several sets, it is the beginning of the id."""
    return [names[0] if len(names) == 1 else id_.partition("/")[0] for id_ in ids]


def is_layout(name: str) -> bool:
    """Say whether a set is called by its layout, which other sets have, too."""
    return name in SOURCES and not get_source(name).CARD.counts


def _name(dataset: DataSet, prepared: PreparedData, run: FinishedRun | None) -> str:
    """Name a data set as the config does. A folder of a general layout, or of another set than the run's, has its name.

    The ids of several sets begin with the names in the config, which therefore stay.
    """
    if len(prepared.sets) > 1:
        return dataset.name
    has_name_of_own = run is not None and list(options_by_set(run.config.data)) == [dataset.name]
    is_foreign = run is not None and has_name_of_own and not holds_the_data_of(run.folder, prepared.content)
    folder = dataset.root.resolve().name
    if is_foreign and folder == dataset.name:
        return f"{folder} (other files)"
    return folder if folder and (is_foreign or is_layout(dataset.name)) else dataset.name


def _older_name(key: str, root: str | None, is_alone: bool) -> str:
    if root:
        return Path(root).name if is_alone and is_layout(key) else key
    return "busi" if key == "folder" else key  # the default folder of the first version


def _count(
    ids: Iterable[str], set_of: Mapping[str, str], groups: Mapping[str, int], patient_of: Mapping[str, tuple[str, str]]
) -> dict[str, Counts]:
    """Count the images, groups and patients of each set."""
    rows = [(set_of[id_], groups[id_], patient_of.get(id_, ("", ""))) for id_ in ids if id_ in set_of]
    table = pd.DataFrame(rows, columns=["set", "group", "patient"])
    return {
        str(name): {
            "images": len(own),
            "groups": int(own["group"].nunique()),
            "patients": None if any(not patient for _, patient in own["patient"]) else int(own["patient"].nunique()),
        }
        for name, own in table.groupby("set", sort=False)
    }
