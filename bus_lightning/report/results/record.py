"""What results.json holds, and whether a file does: it is edited, merged and restored by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.config.kinds import FLAG, TEXT, Kind, nullable, number, one_of, shown, whole
from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.catalogue import BY_TASK

_ANY_TEXT = Kind("a text", lambda value: isinstance(value, str))
_TEXTS = Kind("a list of texts", lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value))
_MISSING: dict[str, Kind] = dict.fromkeys(("group", "about", "text"), TEXT)
_FULLER: dict[str, Kind] = {
    **dict.fromkeys(("group", "condition", "data"), TEXT),
    **dict.fromkeys(("runs", "n"), whole(1)),
    "part": one_of("val", "test"),
}
_ROW: dict[str, Kind] = {
    **dict.fromkeys(("table", "group", "condition", "label", "model", "data", "metric"), TEXT),
    **dict.fromkeys(("protocol", "reason", "commit"), _ANY_TEXT),
    **dict.fromkeys(("value", "low", "high", "sd_of_runs"), nullable(number())),
    **dict.fromkeys(("ensemble", "n", "runs"), whole(1)),
    **dict.fromkeys(("trained", "classes", "command"), _TEXTS),
    "task": one_of(*BY_TASK),
    "part": one_of("val", "test"),
    "protocol_sha256": nullable(_ANY_TEXT),
}
_LATER: dict[str, Kind] = {
    "paper": _ANY_TEXT,
    "kept": FLAG,
    "images": _ANY_TEXT,
    "averaged": _TEXTS,
}  # fields that a record of an earlier version lacks
_UNIQUE = ("table", "group", "condition", "data", "part", "metric")


def check_record(content: Mapping[str, Any], file: Path, cure: str) -> None:
    """Refuse what is not the record of a page of results.

    Args:
        content: What the file holds.
        file: Its name, for the error.
        cure: What to do, for the error.

    Raises:
        DamagedError: If a field is missing or has an impossible value, or two rows are of the same number.
    """
    for name, kinds in (("rows", _ROW), ("missing", _MISSING), ("fuller", _FULLER)):
        entries = content.get(name, [] if name == "fuller" else None)
        if not isinstance(entries, list):
            raise DamagedError(file, f"its {name} are not a list, as a page of results has them", cure)
        for place, entry in enumerate(entries):
            if problem := _problem(entry, kinds, _LATER if name == "rows" else {}):
                raise DamagedError(file, f"{name}[{place}]{problem}", cure)
    seen: dict[tuple[Any, ...], int] = {}
    for place, row in enumerate(content["rows"]):
        key = tuple(row[field] for field in _UNIQUE)
        if (other := seen.setdefault(key, place)) != place:
            raise DamagedError(file, f"rows[{other}] and rows[{place}] are the same number of {row['condition']}", cure)


def _problem(entry: Any, kinds: Mapping[str, Kind], later: Mapping[str, Kind]) -> str:
    if not isinstance(entry, dict):
        return " is not a mapping"
    if lacking := [key for key in kinds if key not in entry]:
        return f" has no {lacking[0]}"
    wrong = [(key, kind) for key, kind in {**kinds, **later}.items() if key in entry and not kind.fits(entry[key])]
    return f".{wrong[0][0]}={shown(entry[wrong[0][0]])} is not {wrong[0][1].description}" if wrong else ""
