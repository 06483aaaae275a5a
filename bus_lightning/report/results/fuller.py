"""Conditions of which an earlier page had more runs or images: a part of their runs is gone, and the page says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bus_lightning.report.results.missing import Missing
from bus_lightning.report.results.rows import Row

EARLIER = "an earlier page had"
_IMAGES = {"val": "validation images", "test": "test images"}


@dataclass(frozen=True)
class Fuller:
    """What an earlier page had of a condition on a data set.

    Attributes:
        group: The group.
        condition: Name of the condition, without that of the group.
        data: Name of the data set of the images.
        part: val or test.
        runs: Number of trainings.
        n: Number of images.
    """

    group: str
    condition: str
    data: str
    part: str
    runs: int
    n: int

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What it was measured on, by which condition."""
        return self.group, self.condition, self.data, self.part

    def exceeds(self, other: Fuller | None) -> bool:
        """Say whether it has more runs or more images than another."""
        return other is None or self.runs > other.runs or self.n > other.n


def find_fuller(rows: Sequence[Row], earlier: Iterable[Row], known: Iterable[Fuller]) -> list[Fuller]:
    """Find what earlier pages had more of.

    Args:
        rows: The rows of the page that is made now.
        earlier: Those of the page before.
        known: What that page said of pages before it, so that it is not forgotten.
    """
    now = {each.place: each for each in _largest(map(_of, rows))}
    there = {(each.group, each.condition, each.part) for each in now.values()}
    return [
        most
        for most in _largest([*known, *map(_of, earlier)])
        if (most.group, most.condition, most.part) in there and most.exceeds(now.get(most.place))
    ]


def describe_fuller(fuller: Sequence[Fuller], rows: Sequence[Row]) -> list[Missing]:
    """Say what earlier pages had, and what there is now."""
    now = {each.place: each for each in _largest(map(_of, rows))}
    return [
        Missing(most.group, most.condition, f"{EARLIER} {_size(most)}; now {_size(now.get(most.place))}")
        for most in fuller
    ]


def _of(row: Row) -> Fuller:
    return Fuller(*row.key, row.data, row.part, row.runs, row.n)


def _largest(all_of: Iterable[Fuller]) -> list[Fuller]:
    """Return the largest numbers of each place."""
    largest: dict[tuple[str, str, str, str], Fuller] = {}
    for each in all_of:
        other = largest.get(each.place, each)
        largest[each.place] = Fuller(*each.place, max(each.runs, other.runs), max(each.n, other.n))
    return sorted(largest.values(), key=lambda each: each.place)


def _size(each: Fuller | None) -> str:
    if each is None:
        return "there is none"
    runs = f"{each.runs} run{'s' * (each.runs > 1)}"
    return f"{runs} with {each.n} {_IMAGES[each.part]} of {each.data}"
