"""Numbers of a page of results whose runs are no longer in the folder: they stay, and the page says so."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import DamagedError
from bus_lightning.core.reading import read_json
from bus_lightning.report.results.missing import Missing
from bus_lightning.report.results.rows import Row

_CURE = "Restore it, or leave out what it keeps with --only-runs"
_LISTS = ("trained", "classes", "command")


@dataclass(frozen=True)
class Earlier:
    """What an earlier page of results showed.

    Attributes:
        rows: Its numbers.
        missing: What was missing or mixed then.
    """

    rows: tuple[Row, ...] = ()
    missing: tuple[Missing, ...] = ()

    def lack_of(self, rows: Sequence[Row], groups: Collection[str]) -> list[Missing]:
        """Return what was missing of the conditions that are kept.

        Args:
            rows: The rows of the page that is made now.
            groups: Names of the groups that have runs now; they tell themselves what they lack.
        """
        kept = {_condition(row) for row in rows if row.kept}
        whole = {group for group, _ in kept} - set(groups)
        return [each for each in self.missing if each.group in whole or (each.group, each.about) in kept]


def read_earlier(file: Path) -> Earlier:
    """Read the numbers of an earlier page.

    Args:
        file: The JSON next to the page; without it, nothing is kept.

    Raises:
        DamagedError: If it is damaged.
    """
    if not file.is_file():
        return Earlier()
    content = read_json(file, cure=_CURE)
    try:
        rows, missing = content["rows"], content["missing"]
        return Earlier(tuple(map(_row, rows)), tuple(Missing(**each) for each in missing))
    except (KeyError, TypeError) as error:
        raise DamagedError(file, "its rows are not those of a page of results", _CURE) from error


def merge(own: Sequence[Row], earlier: Iterable[Row], table: str, groups: Sequence[str]) -> list[Row]:
    """Add the earlier rows of a table, those of conditions that have no run now.

    Args:
        own: The rows of the runs that are there.
        earlier: Rows of the earlier page.
        table: Name of the table.
        groups: Its groups; the rows are in their order.
    """
    there = {_condition(row) for row in own}
    kept = [
        replace(row, kept=True)
        for row in earlier
        if row.table == table and row.group in groups and _condition(row) not in there
    ]
    return sorted([*own, *kept], key=lambda row: groups.index(row.group))


def _condition(row: Row) -> tuple[str, str]:
    return row.group, row.condition.removesuffix(f"__{row.group}")


def _row(content: dict[str, Any]) -> Row:
    known = {field.name for field in fields(Row)}
    values: dict[str, Any] = {key: content[key] for key in content.keys() & known}
    return Row(**values | {key: tuple(values[key]) for key in _LISTS})
