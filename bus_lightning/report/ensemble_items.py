"""What the report says about ensembles: how many networks are behind a number, and which."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, Note, TableItem
from bus_lightning.statistics.conditions import Condition


def count_runs(condition: Condition, shown: Sequence[Condition]) -> dict[str, object]:
    """Return the cells of a table that say how many runs a condition has, and how many networks see an image.

    Args:
        condition: The row's condition.
        shown: All conditions of the table; `networks` is a column if one of them is an ensemble.
    """
    runs: dict[str, object] = {"runs": condition.trainings}
    if any(other.is_ensemble for other in shown):
        runs["networks per image"] = condition.networks
    return runs


def ensemble_items(conditions: Sequence[Condition]) -> list[Item]:
    """List the ensembles and their networks; nothing if there are none."""
    labels = labels_of(conditions)
    rows = []
    for condition in conditions:
        if condition.ensemble is None:
            continue
        members = condition.ensemble.members
        models = Counter(member.model for member in members)
        seeds = sorted({str(member.seed) for member in members})
        rows.append(
            {
                "ensemble": labels[condition.name],
                "networks per image": condition.networks,
                "which": ", ".join(f"{number} x {model}" for model, number in models.items()),
                "seeds": ", ".join(seeds),
                "splits": len(condition.runs),
                "networks in all": condition.trainings,
            }
        )
    if not rows:
        return []
    caption = (
        "Ensembles: the probabilities of several networks are averaged for each image, and a mask is thresholded after "
        "the average. An image is predicted only by networks that were neither trained nor selected on it."
    )
    text = (
        "An ensemble is one predictor: its interval has no spread over trainings. It costs as much as all of its "
        "networks together."
    )
    return [TableItem("ensembles", caption, pd.DataFrame(rows)), Note(text)]
