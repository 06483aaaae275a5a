"""Numbers of a page of results whose runs are no longer in the folder: they stay, and the page says so."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import DamagedError
from bus_lightning.core.reading import read_json
from bus_lightning.report.results.fuller import EARLIER, Fuller
from bus_lightning.report.results.missing import NOT_RUN, Missing
from bus_lightning.report.results.plan import Table
from bus_lightning.report.results.record import check_record
from bus_lightning.report.results.rows import NOT_KNOWN, Row

_CURE = "Restore it, or leave out what it keeps with --only-runs"
_LISTS = ("trained", "classes", "command", "averaged")


@dataclass(frozen=True)
class Earlier:
    """What an earlier page of results showed.

    Attributes:
        rows: Its numbers.
        missing: What was missing or mixed then.
        fuller: What a page before it had more of.
    """

    rows: tuple[Row, ...] = ()
    missing: tuple[Missing, ...] = ()
    fuller: tuple[Fuller, ...] = ()

    def lack_of(self, rows: Sequence[Row], groups: Collection[str]) -> list[Missing]:
        """Return what was missing of the conditions that are kept, without what the plan and the rows say anew.

        Args:
            rows: The rows of the page that is made now.
            groups: Names of the groups that have runs now; they tell themselves what they lack.
        """
        kept = {row.key for row in rows if row.kept}
        whole = {group for group, _ in kept} - set(groups)
        told = [each for each in self.missing if each.text != NOT_RUN and not each.text.startswith(EARLIER)]
        return [each for each in told if each.group in whole or (each.group, each.about) in kept]

    def for_tables(self, tables: Sequence[Table]) -> list[Row]:
        """Return the numbers that the tables of a plan can show."""
        return [row for row in self.rows if any(_belongs(row, table) for table in tables)]

    def of_other_images(self, rows: Sequence[Row]) -> list[str]:
        """Name the conditions whose runs have the name of earlier ones, and were trained on other images."""
        images = {row.key: row.images for row in self.rows if row.images}
        others = [row for row in rows if row.images and images.get(row.key, row.images) != row.images]
        return sorted({f"{name} ({group})" for group, name in (row.key for row in others)})

    def without_place(self, tables: Sequence[Table]) -> list[str]:
        """Name the tables of numbers that the plan does not show any more, with how many numbers they had."""
        placed = set(map(id, self.for_tables(tables)))
        lost = Counter(row.table for row in self.rows if id(row) not in placed)
        return [f"{name} ({number})" for name, number in lost.items()]


def read_earlier(file: Path) -> Earlier:
    """Read the numbers of an earlier page.

    Args:
        file: The JSON next to the page; without it, nothing is kept.

    Raises:
        DamagedError: If it is damaged.
    """
    if not file.exists() and not file.is_symlink():
        return Earlier()
    try:
        content = read_json(file, cure=_CURE)
    except FileNotFoundError:
        raise DamagedError(file, "it is a link to a file that is not there", _CURE) from None
    check_record(content, file, _CURE)
    known = {field.name for field in fields(Row)}
    rows: list[dict[str, Any]] = [
        {key: tuple(value) if key in _LISTS else value for key, value in row.items() if key in known}
        for row in content["rows"]
    ]
    missing = [Missing(each["group"], each["about"], each["text"]) for each in content["missing"]]
    fuller = [
        Fuller(**{field.name: each[field.name] for field in fields(Fuller)}) for each in content.get("fuller", ())
    ]
    return Earlier(tuple(Row(**row) for row in rows), tuple(missing), tuple(fuller))


def merge(own: Sequence[Row], earlier: Iterable[Row], table: Table) -> list[Row]:
    """Add the earlier rows of a table, those of conditions that have no run now.

    Args:
        own: The rows of the runs that are there.
        earlier: Rows of the earlier page.
        table: The table; the rows are in the order of its groups, and of the names of their conditions.
    """
    there, earlier = {row.key for row in own}, list(earlier)
    known = {(row.key, row.data, row.metric): row for row in earlier if _belongs(row, table)}
    own = [_with_origin(row, known.get((row.key, row.data, row.metric))) for row in own]
    kept = [replace(row, kept=True) for row in earlier if _belongs(row, table) and row.key not in there]
    if table.kind == "scores":  # one number of a condition and metric: which of several sets is meant, is not known
        sets = defaultdict(set)
        for row in kept:
            sets[row.key].add(row.data)
        kept = [row for row in kept if len(sets[row.key]) == 1]
    return sorted([*own, *kept], key=lambda row: (table.groups.index(row.group), row.key))


def with_own_labels(rows: Sequence[Row]) -> list[Row]:
    """Change labels that several conditions of a table share: each was shortened next to other conditions."""
    conditions: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        conditions[row.label].add(row.key)
    return [replace(row, label=_own_label(row, conditions[row.label])) for row in rows]


def _own_label(row: Row, sharing: Collection[tuple[str, str]]) -> str:
    if len(sharing) == 1:
        return row.label
    groups = Counter(group for group, _ in sharing)
    name = row.label if groups[row.group] == 1 else row.key[1]
    return f"{name}, {row.group}" if len(groups) > 1 else name


def _with_origin(row: Row, earlier: Row | None) -> Row:
    """Take over where an ensemble's networks came from, if they are gone and its number is still the same."""
    is_lost = NOT_KNOWN in row.commit.split(", ")
    if not is_lost or earlier is None or (row.value, row.n) != (earlier.value, earlier.n):
        return row
    return replace(row, commit=earlier.commit, command=earlier.command, protocol_sha256=earlier.protocol_sha256)


def _belongs(row: Row, table: Table) -> bool:
    """Say whether an earlier row is of the kind that a table shows now: its plan may have changed."""
    is_pooled = len(row.trained) > 1 and row.data == " + ".join(row.trained)  # an across table has a cell of each set
    return (
        (row.table, row.task, row.part) == (table.name, table.task, table.part)
        and row.group in table.groups
        and row.metric in table.metrics
        and not (table.kind == "across" and is_pooled)
    )
