"""Which options conditions differ in, as a table and in words: the names of runs with many options are cut."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bus_lightning.statistics.conditions import Condition, shared_options

UNUSED = "-"
_USED = "yes"
_OF_MODELS = ("model.", "task.")  # differ with the model, which every table names


def tabulate_differences(conditions: Sequence[Condition]) -> pd.DataFrame:
    """Tabulate the options with several values: a row per condition, by name; without seed and fold.

    An option group that only some conditions have is one column, "yes" or "-".
    """
    options = {each.name: dict(shared_options(each.config)) for each in conditions}
    if len({each.model for each in conditions}) > 1:
        options = {name: {key: own[key] for key in own if not key.startswith(_OF_MODELS)}
                   for name, own in options.items()}  # fmt: skip
    columns: dict[str, list[str]] = {}
    for group, members in _groups(sorted({key for own in options.values() for key in own})).items():
        has = [any(own.get(key) is not None for key in members) for own in options.values()]
        users = [own for own, used in zip(options.values(), has, strict=True) if used]
        if len(members) > 1 and not all(has) and any(has):
            columns[group] = [_USED if used else UNUSED for used in has]
        for key in members:
            compared = users if group in columns else list(options.values())
            if len({repr(own.get(key)) for own in compared}) > 1:
                columns[key] = [_text(own.get(key)) for own in options.values()]
    return pd.DataFrame(columns, index=list(options))


def describe_differences(conditions: Sequence[Condition]) -> dict[str, str]:
    """Describe each condition by the options that most others do not share: name -> `trivial, lr=0.001`, or ""."""
    table = tabulate_differences(conditions)
    usual = {key: Counter(table[key]).most_common(1)[0][0] for key in table}
    return {
        str(name): ", ".join(
            _in_words(key, value)
            for key, value in row.items()
            if value == _USED or value not in (usual[key], UNUSED)
        )
        for name, row in zip(table.index, table.to_dict("records"), strict=True)
    }  # fmt: skip


def _groups(keys: Sequence[str]) -> dict[str, list[str]]:
    """Collect the keys of each option group: `augment.affine.p` is one of `augment.affine`."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        parts = key.split(".")
        groups.setdefault(".".join(parts[:2]) if len(parts) > 2 else key, []).append(key)
    return groups


def _text(value: object) -> str:
    return UNUSED if value is None else str(value)


def _in_words(key: Any, value: str) -> str:
    name = str(key).rpartition(".")[2]
    return name if value == _USED else f"{name}={value}"
