"""What the conditions of a report differ in: their names are cut, their options are not."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, TableItem, fold
from bus_lightning.statistics.conditions import Condition, shared_options

_MOST = 10  # columns; more options stand in one column of text
_OF_MODELS = ("model.", "task.")  # differ with the model, which every table names


def option_items(conditions: Sequence[Condition]) -> list[Item]:
    """List the options that differ between conditions; an option group that only some have is one column.

    Args:
        conditions: Those of the report.
    """
    labels = labels_of(list(conditions))
    options = {each.name: dict(shared_options(each.config)) for each in conditions}
    if len({each.model for each in conditions}) > 1:
        options = {name: {key: own[key] for key in own if not key.startswith(_OF_MODELS)}
                   for name, own in options.items()}  # fmt: skip
    table = _differences(options)
    if table.empty:
        return []
    if len(table.columns) > _MOST:
        texts = [_in_words(row) for row in table.to_dict("records")]
        table = pd.DataFrame({"options": texts}, index=table.index)
    table.insert(0, "condition", [labels[name] for name in table.index])
    caption = (
        f"The options that differ between the {len(table)} conditions, without seed and fold; \"-\": not used. All "
        "other options are the same, except those that belong to a model."
    )  # fmt: skip
    return fold("What the conditions differ in", [TableItem("conditions", caption, table.reset_index(drop=True))])


def _differences(options: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Tabulate the options with several values: a row per condition."""
    keys = sorted({key for own in options.values() for key in own})
    columns: dict[str, list[str]] = {}
    for group, members in _groups(keys).items():
        has = [any(own.get(key) is not None for key in members) for own in options.values()]
        users = [own for own, used in zip(options.values(), has, strict=True) if used]
        if len(members) > 1 and not all(has) and any(has):
            columns[group] = ["yes" if used else "-" for used in has]
        for key in members:
            compared = users if group in columns else list(options.values())
            if len({repr(own.get(key)) for own in compared}) > 1:
                columns[key] = [_text(own.get(key)) for own in options.values()]
    return pd.DataFrame(columns, index=list(options))


def _groups(keys: Sequence[str]) -> dict[str, list[str]]:
    """Collect the keys of each option group: `augment.affine.p` is one of `augment.affine`."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        parts = key.split(".")
        groups.setdefault(".".join(parts[:2]) if len(parts) > 2 else key, []).append(key)
    return groups


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _in_words(row: Mapping[Any, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in row.items() if value != "-") or "-"
