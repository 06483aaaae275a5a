"""Reporting checklists that are filled from a report: each item with its place, or with the reason why it has none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

AUTHORS = "to be stated by the authors"
_MOST = 4  # places of an item
SCORES = ("Classification", "Segmentation")  # titles of the sections with the scores
EXTERNAL = "Trained on, tested on"  # title of the section of data sets, if a network was tested on another one
HEAD = "head"  # the facts at the head of the page
_STATES = ("in the report", "to be stated by the authors", "not applicable or not in this report")


@dataclass(frozen=True)
class Entry:
    """An item of a checklist, and where a report answers it.

    Attributes:
        number: Its number, such as "12a".
        text: What it asks for, in a few words.
        places: Where a report may answer it: titles of sections, and slugs of tables and figures, which may be patterns
            such as `flow*`.
        files: Files in the folder of each run that answer it.
        add: What the authors add to these places.
        otherwise: What holds if the report has none of the places.
    """

    number: str
    text: str
    places: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    add: str = ""
    otherwise: str = AUTHORS


@dataclass(frozen=True)
class Checklist:
    """A reporting guideline.

    Attributes:
        name: Name of its file, without `.md`.
        title: Its title.
        source: Where it was published.
        numbering: Which version the numbers follow.
        items: By heading.
    """

    name: str
    title: str
    source: str
    numbering: str
    items: Mapping[str, Sequence[Entry]]


def find_places(item: Entry, names: Iterable[str]) -> list[str]:
    """Find the places of an item among the section titles and slugs of a report, in the order of the report."""
    return [name for name in names if any(fnmatchcase(name, place) for place in item.places)]


def count_states(checklist: Checklist, names: Sequence[str]) -> dict[str, int]:
    """Count the items of a checklist that a report answers, those that are left to the authors, and the others."""
    counts = dict.fromkeys(_STATES, 0)
    for item in (item for items in checklist.items.values() for item in items):
        is_answered = item.files or find_places(item, names)
        counts[_STATES[0 if is_answered else 1 if item.otherwise.startswith(AUTHORS) else 2]] += 1
    return counts


def fill(checklist: Checklist, places: Mapping[str, str]) -> str:
    """Write a filled checklist as Markdown.

    Args:
        checklist: The checklist.
        places: Title of a section or slug of a table or figure -> link to it, in the order of the report.
    """
    lines = [f"# {checklist.title}", "", f"{checklist.source}. {checklist.numbering}", ""]
    lines += [
        "The items are named in our words: read the guideline for theirs. This file is written from the report, so an "
        "item has a place only if the report answers it.",
    ]
    for heading, items in checklist.items.items():
        lines += ["", f"## {heading}", "", "| item | asks for | where |", "| :--- | :--- | :--- |"]
        lines += [f"| {item.number} | {item.text} | {_where(item, places)} |" for item in items]
    return "\n".join(lines) + "\n"


def _where(item: Entry, places: Mapping[str, str]) -> str:
    texts = [places[name] for name in find_places(item, places)]
    if len(texts) > _MOST:
        texts[_MOST:] = [f"{len(texts) - _MOST} more"]
    texts += [f"`{file}` in the folder of each run" for file in item.files]
    if not texts:
        return item.otherwise
    return "; ".join([*texts, *([f"the authors add {item.add}"] if item.add else [])])
