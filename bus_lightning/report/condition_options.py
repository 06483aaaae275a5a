"""What the conditions of a report differ in: their names may be cut, their options are not."""

from collections.abc import Sequence

import pandas as pd

from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, TableItem, fold
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.option_differences import UNUSED, tabulate_differences

_MOST = 10  # columns; more options stand in one column of text


def option_items(conditions: Sequence[Condition]) -> list[Item]:
    """List the options that differ between conditions; an option group that only some have is one column.

    Args:
        conditions: Those of the report.
    """
    table = tabulate_differences(conditions)
    if table.empty:
        return []
    if len(table.columns) > _MOST:
        texts = [
            ", ".join(f"{key}={value}" for key, value in row.items() if value != UNUSED) or UNUSED
            for row in table.to_dict("records")
        ]
        table = pd.DataFrame({"options": texts}, index=table.index)
    labels = labels_of(list(conditions))
    table.insert(0, "condition", [labels[name] for name in table.index])
    table["folder"] = table.index
    caption = (
        f"The options that differ between the {len(table)} conditions, without seed and fold; '{UNUSED}': not used. "
        "All other options are the same, except those that belong to a model. The name of a run's folder "
        "begins with `folder`."
    )
    return fold("What the conditions differ in", [TableItem("conditions", caption, table.reset_index(drop=True))])
