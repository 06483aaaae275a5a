"""The section of single lesions: the distribution of Dice, and which lesions are found."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from bus_lightning.metrics.catalogue import BY_LESION, shown_in, title_of
from bus_lightning.metrics.columns import LESIONS, dice_of, has_lesion
from bus_lightning.metrics.lesions import RULE
from bus_lightning.report.estimates import Summaries, estimate, metric_row, write_score
from bus_lightning.report.figures.curves import mean_in
from bus_lightning.report.figures.dice import LOW, dice_histograms
from bus_lightning.report.figures.inputs import labels_of, usable
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.intervals import in_draws, weighted_median, with_interval
from bus_lightning.statistics.summary import DRAWS


def lesion_section(conditions: Sequence[Condition], test: Summaries) -> Section | None:
    """Show how the Dice of single lesions is distributed, and how many lesions are found.

    Args:
        conditions: Those of the report.
        test: Name of a condition -> summary of the segmentation of its test images.

    Returns:
        The section; None without segmenters.
    """
    own = of_task(conditions, "segmentation")
    labels = labels_of(own)
    cases = {labels[condition.name]: table for condition in own if len(table := _with_lesion(condition))}
    if not cases:
        return None
    items: list[Item] = [*dice_histograms(cases), _distribution(cases), *_detection(own, labels, test)]
    intro = (
        "A mean hides the lesions that a network misses. This section shows how the Dice of single images is "
        "distributed, and which lesions are found where an image has several."
    )
    return Section("Segmentation, lesion by lesion", intro, items)


def _with_lesion(condition: Condition) -> pd.DataFrame:
    """Select the test images with a lesion."""
    cases = usable(condition, "test")
    return cases[has_lesion(cases)].reset_index(drop=True) if len(cases) else cases


def _distribution(cases: dict[str, pd.DataFrame]) -> TableItem:
    rows = []
    for label, table in cases.items():
        dice = dice_of(table)
        medians = in_draws(table, DRAWS, partial(weighted_median, dice))
        low = in_draws(table, DRAWS, partial(mean_in, (dice < LOW).astype("float64")))
        quartiles = np.quantile(dice, [0.25, 0.75])
        rows.append(
            {
                "condition": label,
                "images with a lesion": table["id"].nunique(),
                "mean": f"{dice.mean():.3f}",
                "SD": f"{dice.std(ddof=1):.3f}" if len(dice) > 1 else "-",
                "median": estimate(*with_interval(medians)),
                "quartiles": "{:.3f} to {:.3f}".format(*quartiles),
                f"share below {LOW}": estimate(*with_interval(low)),
            }
        )
    caption = (
        "The distribution of Dice over test images with a lesion, with 95% intervals (bootstrap over groups) of the "
        f"median and of the share that is practically missed (Dice below {LOW}). Replicates are pooled."
    )
    return TableItem("dice_quartiles", caption, pd.DataFrame(rows))


def _detection(conditions: Sequence[Condition], labels: dict[str, str], test: Summaries) -> list[Item]:
    """Tabulate lesions found and false lesions, of the conditions whose cases have them."""
    rows, older = [], []
    for condition in conditions:
        cases = usable(condition, "test")
        if cases.empty:
            continue
        if not set(LESIONS) <= set(cases) or cases[list(LESIONS)].isna().any().any():
            older.append(labels[condition.name])
            continue
        replicates = cases["replicate"].nunique()
        several = cases[cases["lesions"] > 1]
        row: dict[str, object] = {"condition": labels[condition.name], "test images": cases["id"].nunique()}
        row["lesions"] = round(cases["lesions"].sum() / replicates)
        for metric in shown_in(BY_LESION, "segmentation"):
            row[title_of(metric)] = write_score(metric_row(test.get(condition.name), metric))
        row["images with several lesions"] = several["id"].nunique()
        detected, number = (several[name].sum() / replicates for name in ("lesions_found", "lesions"))
        row["their lesions found"] = f"{detected:.3g} of {number:.3g}" if len(several) else "-"
        rows.append(row)
    items: list[Item] = []
    if rows:
        caption = f"Detection of single lesions in test images: value and 95% interval. {RULE} Seeds are averaged."
        items.append(TableItem("lesion_detection", caption, pd.DataFrame(rows)))
    if older:
        text = (
            f"The version that made the runs of {', '.join(older)} did not record single lesions. "
            "`evaluate.py runs=...` counts them in its evaluation; a new training counts them in the run."
        )
        items.append(Note(text))
    return items
