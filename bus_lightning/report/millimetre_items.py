"""Lesions and outlines in millimetres, for the images whose pixel size is known."""

from collections.abc import Sequence

import pandas as pd

from bus_lightning.metrics.catalogue import IN_MILLIMETRES, SEGMENTATION, shown_in, title_of
from bus_lightning.metrics.columns import has_lesion
from bus_lightning.report.ensemble_items import count_runs
from bus_lightning.report.estimates import Summaries, write_score
from bus_lightning.report.figures.forest import forest
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, Note, TableItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.summary import value_of

METRICS = shown_in(IN_MILLIMETRES)
_DIGITS = {metric.key: 1 if metric.unit == "mm" else 3 for metric in SEGMENTATION}


def millimetre_items(conditions: list[Condition], summaries: Summaries, part: str) -> list[Item]:
    """Show sizes and distances in millimetres, and say for how many images the size of a pixel is known.

    Args:
        conditions: The segmenters.
        summaries: Name of a condition -> summary of the part.
        part: val or test.

    Returns:
        A note, a table and a figure; nothing if no image of the part has a known pixel size.
    """
    known = {condition.name: value_of(summaries[condition.name], "lesions_in_mm") for condition in conditions}
    measured = [condition for condition in conditions if known[condition.name] > 0]
    if not measured:
        return []
    labels = labels_of(conditions)
    rows = []
    for condition in measured:
        summary = summaries[condition.name].set_index("metric")
        row = {
            "condition": labels[condition.name],
            **count_runs(condition, conditions),
            "n": round(known[condition.name]),
        }
        cells = {title_of(key): write_score(summary.loc[key], _DIGITS[key]) for key in METRICS}
        rows.append(row | cells)
    name = "Validation" if part == "val" else "Test"
    caption = (
        f"{name} images in millimetres: value and 95% interval; n counts the lesions whose pixel size is known. The "
        "long axis is the longest distance between two points of the outline of an image's largest lesion; it is 0 for "
        "an empty prediction. For a missed lesion, HD95 is the image's diagonal and the surface Dice is 0."
    )
    items: list[Item] = [
        Note(_describe_known(measured, part)),
        TableItem(f"segmentation_{part}_mm", caption, pd.DataFrame(rows)),
    ]
    # Its n is that of the lesions in millimetres, not that of all images.
    tables = {labels[own.name]: summaries[own.name].assign(n=round(known[own.name])) for own in measured}
    if part == "test" and (figure := forest(tables, METRICS)):
        figure.slug = "forest_segmentation_mm"
        figure.caption = f"In millimetres, over the lesions whose pixel size is known. {figure.caption}"
        items.append(figure)
    return items


def _describe_known(conditions: Sequence[Condition], part: str) -> str:
    """Write for how many images of a part the size of a pixel is known, each image counted once."""
    cases = pd.concat([condition.part(part) for condition in conditions])
    cases = cases.assign(is_known=cases["area_mm2"].notna(), has_lesion=has_lesion(cases))
    images = cases.groupby("id")[["is_known", "has_lesion"]].max()
    lesions = images[images["has_lesion"]]
    name = "validation" if part == "val" else "test"
    text = (
        f"The size of a pixel is known for {images['is_known'].sum()} of {len(images)} {name} images "
        f"({lesions['is_known'].sum()} of {len(lesions)} with a lesion)"
    )
    return f"{text}." if images["is_known"].all() else f"{text}; the others do not count in millimetres."
