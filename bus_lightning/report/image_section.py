"""The section of the images: the flow from files to analysed images, and the characteristics of each part."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bus_lightning.data.burned_in import ERROR
from bus_lightning.data.flow import CONFLICT, DROPPED_CLASS, EXCLUDED, OTHER_CLASS, OTHER_PART, UNREADABLE
from bus_lightning.report.characteristics import characteristics
from bus_lightning.report.figures.flow import Step, flow_diagram
from bus_lightning.report.figures.inputs import PART_TITLES, span
from bus_lightning.report.sections import FigureItem, Item, Note, Section, TableItem, fold
from bus_lightning.report.studied_images import (
    Studied,
    count_classes,
    count_patients,
    describe_conditions,
    sum_flow,
)

_MOST = 6  # diagrams of a report
_OPEN = 1  # of which so many are always open
_REASONS = {
    DROPPED_CLASS: "class left out (data.drop.class)",
    OTHER_CLASS: "other classes (data.classes)",
    OTHER_PART: "not in the split that was given",
    EXCLUDED: "listed in data.exclude",
    CONFLICT: "near-duplicates of different classes (data.drop_conflicts)",
    UNREADABLE: "unreadable (data.skip_unreadable)",
}
_OLDER = (
    "Some runs were made by an earlier version, which did not record its files and images: what is not known is marked "
    "'not recorded'. `evaluate.py runs=...` records the images of such a run."
)


def image_section(studied: Sequence[Studied]) -> Section | None:
    """Show how the images were selected and divided, and what they are.

    Args:
        studied: The images of the report's conditions.

    Returns:
        The section; None without conditions.
    """
    if not studied:
        return None
    items: list[Item] = []
    if any(not each.is_recorded or not each.sets.flow for each in studied):
        items.append(Note(_OLDER))
    for number, each in enumerate(studied[:_MOST], 1):
        suffix = "" if len(studied) == 1 else f"_{number}"
        caption = (
            f"Characteristics of the images of {_name(each, studied)}: number (%), or median (quartiles). "
            "The share of a lesion is that of all masks of an image; its diameter is that of a circle of this area. "
            f"Burned-in marks were found by a rule that is {ERROR}."
        )
        own: list[Item] = [
            _diagram(each, suffix, _name(each, studied)),
            TableItem(f"characteristics{suffix}", caption, characteristics(each)),
        ]
        items += own if number <= _OPEN else fold(f"The images of {describe_conditions(each, 2)}", own)
    if len(studied) > _MOST:
        rest = "; ".join(describe_conditions(each, 2) for each in studied[_MOST:])
        items.append(Note(f"Not shown are the images of {len(studied) - _MOST} further splits: {rest}."))
    intro = "Which images the numbers of this report come from: every file that was found, and where it went."
    return Section("The images", intro, items)


def _diagram(studied: Studied, suffix: str, name: str) -> FigureItem:
    flow = sum_flow(studied.sets)
    ids = {id_ for split in studied.splits for id_ in split.part("all")}
    steps = _first_steps(studied, flow, len(ids))
    used = studied.images.loc[sorted(ids)]
    steps.append(Step(f"Images in the study: n = {len(used):,}", _describe(used)))
    tested = sorted({id_ for split in studied.splits for id_ in split.test})
    if studied.is_cross_validated:
        ends = _ends_of_folds(studied, tested)
    else:
        parts = studied.parts.items()
        ends = [Step(f"{title.capitalize()}: n = {len(part):,}", _describe(studied.images.loc[part]))
                for title, part in parts]  # fmt: skip
        if len(studied.splits) > 1:
            ends = [Step(end.title, (*end.lines, f"first of {len(studied.splits)} splits")) for end in ends]
    ends[-1] = Step(ends[-1].title, (*ends[-1].lines, *_analysed(studied, tested)))
    caption = f"From files to analysed images: {name}."
    if studied.is_cross_validated:
        caption += " Cross-validation: each image is tested by a network that was not trained on "
        caption += "its group." if _keeps_groups(studied) else "it; of some, others of their group were in training."
    return flow_diagram(f"flow{suffix}", caption, steps, ends)


def _keeps_groups(studied: Studied) -> bool:
    """Say whether no test image has an image of its group in training, in any split."""
    return all(
        {split.groups[id_] for id_ in split.train}.isdisjoint(split.groups[id_] for id_ in split.test)
        for split in studied.splits
    )


def _name(studied: Studied, all_studied: Sequence[Studied]) -> str:
    """Name the conditions of these images, shortly if they are all."""
    number = len(studied.conditions)
    return f"all {number} conditions" if len(all_studied) == 1 and number > 1 else describe_conditions(studied)


def _first_steps(studied: Studied, flow: dict[str, Any] | None, number: int) -> list[Step]:
    """Describe the files and the images that were found, and what was left out of them."""
    if flow is None:
        return [Step("Files in the folder: not recorded", ("by the version that made these runs",))]
    unread = []
    if flow["not_read"]:
        unread.append(f"other files: {flow['not_read']:,}")
    if flow["masks_without_image"]:
        unread.append(f"masks without an image: {flow['masks_without_image']:,}")
    by_set = [f"{name}: {each['images']:,} images" for name, each in studied.sets.flow.items()]
    others = flow["files"] - flow["images"] - flow["masks"]
    missing = flow["rows_without_file"]
    files = Step(
        f"Files found: n = {flow['files']:,}",
        (f"images: {flow['images']:,}", f"masks: {flow['masks']:,}", *([f"others: {others:,}"] if others else ())),
        (f"Not read: n = {flow['not_read'] + flow['masks_without_image']:,}", *unread) if unread else (),
    )
    unused = flow["used"] - number
    out = {_REASONS.get(reason, reason): count for reason, count in flow["left_out"].items()}
    if unused > 0:
        out["in no part of the split"] = unused
    total = sum(out.values())
    lines = tuple(f"{words}: {count:,}" for words, count in out.items())
    images = Step(
        f"Images: n = {flow['images']:,}",
        (
            *(by_set if len(by_set) > 1 else ()),
            *([f"{missing:,} rows of the table have no file"] if missing else ()),
            *([f"{flow['copied']:,} copies were added by data.mistake"] if flow["copied"] else ()),
        ),
        (f"Left out: n = {total:,}", *lines) if out else ("Left out: n = 0",),
    )
    return [files, images]


def _ends_of_folds(studied: Studied, tested: list[str]) -> list[Step]:
    sizes = {part: [len(split.part(part)) for split in studied.splits] for part in ("train", "val")}
    lines = tuple(f"{PART_TITLES[part]} images: {span(own, '{:,}'.format)}" for part, own in sizes.items())
    return [
        Step(f"{len(studied.splits)} folds, each with", lines),
        Step(f"Tested once each: n = {len(tested):,}", _describe(studied.images.loc[tested])),
    ]


def _describe(images: pd.DataFrame) -> tuple[str, ...]:
    """Describe images in lines: patients, groups and classes."""
    patients, classes = count_patients(images), count_classes(images)
    known = "patients: not known" if "patient" in images else "patients: not recorded"
    return (
        known if patients is None else f"patients: {patients:,}",
        f"groups: {images['group'].nunique():,}",
        *([f"{name}: {number:,}" for name, number in classes.items()] if classes else ["classes: not recorded"]),
    )


def _analysed(studied: Studied, tested: list[str]) -> tuple[str, ...]:
    """Say how many test images have a result in every condition."""
    answered = [set(condition.part("test")["id"]) for condition in studied.conditions]
    without = len(set(tested) - set.intersection(*answered))
    return (f"with a result: {len(tested) - without:,}", *([f"without a result: {without:,}"] if without else ()))
