"""The section of heat maps: the sheets of `evaluate.py explain=true`, and how far the maps can be trusted."""

import math

import pandas as pd

from bus_lightning.core.errors import DamagedError
from bus_lightning.report.estimates import estimate
from bus_lightning.report.figures.pictures import heat_maps
from bus_lightning.report.sections import Item, Section, TableItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.faithfulness import DIFFERENCES, MEASURES, read_maps, summarise_maps

_TITLES = dict(zip(DIFFERENCES, ("pointing minus chance", "pointing minus random weights"), strict=True))


def heat_map_section(conditions: list[Condition]) -> Section | None:
    """Show the heat maps of the first run of each condition; None if no run has heat maps."""
    rows, figures = [], []
    for condition in conditions:
        run = condition.runs[0].path
        file, groups = run / "explain" / "maps.csv", condition.splits[run.name].groups
        if not file.is_file():
            continue
        try:
            maps = read_maps(file, groups)
        except DamagedError:  # the report's checks list the damaged file
            continue
        rows += [
            {"condition": condition.name, **_cells(row)} for row in summarise_maps(maps, groups).to_dict("records")
        ]
        if figure := heat_maps(condition):
            figures.append(figure)
    if not rows:
        return None
    caption = (
        "Do the maps find the lesion? Pointing: share of the images whose strongest pixel lies in the lesion. Energy: "
        "share of the map within the lesion. Chance: the lesion's share of the image, which a map without any "
        "knowledge reaches in both. Random weights: the same network, not trained; a map that is as good there says "
        "nothing about the training. The differences are paired: of the same images. First run of each condition; n: "
        "test images with a lesion and a map that is not zero everywhere; 95% intervals over groups."
    )
    items: list[Item] = [TableItem("heat_maps_believed", caption, pd.DataFrame(rows)), *figures]
    return Section("Heat maps, and how far they can be trusted", "Made by `evaluate.py explain=true`.", items)


def _cells(row: dict[str, float]) -> dict[str, object]:
    return {
        "method": str(row["method"]).replace("_", " "),
        "weights": row["weights"],
        "class": row["class"],
        "n": row["images"],
        "without a map": row["without_map"],
        **{name: estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], digits=2) for name in MEASURES},
        **{
            title: "-" if math.isnan(row[name]) else estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], 2)
            for name, title in _TITLES.items()
        },
    }
