"""The page of an audit: one file with tables, histograms and small pictures, which loads nothing else."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from bus_lightning.core.printable import printable
from bus_lightning.data.audit_pictures import choose_images, draw_histogram, draw_small_picture
from bus_lightning.data.audited import BLOCKING, AuditedSet, count_published, published_rows, say_verdict
from bus_lightning.data.described import lesion_diameters
from bus_lightning.data.measures import tabulate_measures

_GROUPS, _OF_GROUP = 6, 4  # groups of near-duplicates with pictures, and pictures of each
_NAMES = 50  # names in a list; the others are in audit.json


@dataclass(frozen=True)
class Picture:
    """A small picture with its caption."""

    data: str
    width: int
    height: int
    title: str
    text: str


@dataclass(frozen=True)
class Names:
    """A list of names or lines under a heading, cut off after some; it is open if it prevents training."""

    heading: str
    lines: list[str]
    more: int
    is_open: bool = False


def make_page(sets: Sequence[AuditedSet], across: Sequence[tuple[str, str]]) -> str:
    """Make the page of one or several audited sets; the same input gives the same text.

    Args:
        sets: The sets.
        across: Ids of two sets that show the same frame, from `find_shared_frames`.

    Returns:
        HTML. It holds images of the sets, but no patient.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = printable
    source = files(__package__).joinpath("audit_page.html.j2").read_text("utf-8")
    title = "Audit of " + " and ".join(audited.title for audited in sets)
    return environment.from_string(source).render(
        title=title,
        chapters=[_chapter(audited) for audited in sets],
        across=_show_across(sets, across) if len(sets) > 1 else None,
    )


def _chapter(audited: AuditedSet) -> dict[str, Any]:
    """Collect what the page says about a set."""
    audit, index = audited.audit, audited.index
    findings = {
        name.replace("_", " "): number for name, number in audited.summary().items() if name not in audit.counts
    }
    return {
        "title": audited.title,
        "root": str(audited.root),
        "card": audited.card,
        "tasks": audit.tasks,
        "verdict": say_verdict(audit),
        "advice": audited.advice,
        "published": published_rows(audited),
        "has_published": bool(audited.card.counts),
        "comparison": count_published(audited),
        "measured": audited.measured(),
        "notes": index.notes,
        "devices": audited.described["devices"],
        "findings": [(name, number) for name, number in findings.items() if number],
        "unfound": [name for name, number in findings.items() if not number],
        "grouped": f"{findings['near duplicate groups']:,} groups hold {findings['images in near duplicate groups']:,} "
        "images.",
        "lists": _lists(audited),
        "histograms": _histograms(audited),
        "groups": _show_groups(audited),
        "sheet": _show_sheet(audited),
    }


def _lists(audited: AuditedSet) -> list[Names]:
    """List the files and rows that cannot be used or do not fit, kind by kind."""
    audit, index = audited.audit, audited.index
    skipped = [
        Names(f"Files that are not read: {reason}", *_cut(file for file, why in sorted(index.skipped.items())
              if why == reason)) for reason, _ in Counter(index.skipped.values()).most_common()
    ]  # fmt: skip
    lists = [
        Names("Rows without a file", *_cut(index.missing)),
        *(
            Names(
                kind.replace("_", " ").capitalize(),
                *_cut(audit.describe(name, kind) for name in names),
                kind in BLOCKING,
            )
            for kind, names in audit.problems.items()
            if kind != "several_masks"
        ),
        *skipped,
    ]
    return [names for names in lists if names.lines]


def _cut(lines: Iterable[str]) -> tuple[list[str], int]:
    every = list(lines)
    return every[:_NAMES], max(0, len(every) - _NAMES)


def _histograms(audited: AuditedSet) -> list[tuple[str, str]]:
    """Draw the sizes of images and lesions: the data URI and the description of each."""
    measures = tabulate_measures(audited.audit.groups, audited.audit.measures)
    with_lesion = measures[(measures["lesion"] > 0).fillna(False)]
    columns = [
        (measures["width"].dropna(), "width of the image [pixels]"),
        (measures["height"].dropna(), "height of the image [pixels]"),
        (with_lesion["share"] * 100, "lesion [% of the image]"),
        (pd.Series(lesion_diameters(audited.index.frame, audited.audit)), "diameter of the lesion [mm]"),
    ]
    return [
        (draw_histogram(values.tolist(), label, f"{audited.name} {label}"), f"Histogram: {label}")
        for values, label in columns
        if len(values)
    ]


def _show_sheet(audited: AuditedSet) -> list[Picture]:
    """Draw the contact sheet: images of each class, with the outlines of their masks."""
    frame = audited.index.frame
    rows = frame.iloc[choose_images(frame["class"].tolist())]
    return [
        picture
        for id_, image, masks, name in zip(rows["id"], rows["image"], rows["masks"], rows["class"], strict=True)
        if (picture := _picture(audited.root, image, masks, id_, name))
    ]


def _show_groups(audited: AuditedSet) -> list[list[Picture]]:
    """Draw some groups of near-duplicates: first those with several classes, then the largest."""
    frame = audited.index.frame.assign(group=audited.index.frame["id"].map(audited.audit.groups))
    kinds = frame.groupby("group")["class"].agg(["size", "nunique"])
    kinds = kinds[kinds["size"] > 1].sort_values(["nunique", "size"], ascending=False, kind="stable")
    return [
        _pictures_of(audited, frame.loc[frame["group"] == group, "id"].tolist()[:_OF_GROUP])
        for group in kinds.index[:_GROUPS]
    ]


def _pictures_of(audited: AuditedSet, ids: Sequence[str], with_set: bool = False) -> list[Picture]:
    rows = audited.index.frame.set_index("id").loc[list(ids)]
    drawn = (
        _picture(audited.root, row["image"], (), str(id_), f"{audited.name}, {row['class']}" if with_set
                 else row["class"]) for id_, row in rows.iterrows()
    )  # fmt: skip
    return [picture for picture in drawn if picture]


def _picture(root: Path, image: str, masks: tuple[str, ...], id_: str, text: str) -> Picture | None:
    drawn = draw_small_picture(root, image, masks)
    return Picture(*drawn, id_, text) if drawn else None


def _show_across(sets: Sequence[AuditedSet], across: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Count the images that two sets share, and draw some of them."""
    by_name = {audited.name: audited for audited in sets}
    pairs = [tuple(id_.partition("/")[::2] for id_ in pair) for pair in across]
    return {
        "counts": Counter(" and ".join(name for name, _ in pair) for pair in pairs).most_common(),
        "sets": " and ".join(by_name),
        "pairs": [
            [picture for name, id_ in pair for picture in _pictures_of(by_name[name], [id_], True)]
            for pair in pairs[:_GROUPS]
        ],
    }
