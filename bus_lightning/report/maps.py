"""Heat maps in a report: the sheets of `evaluate.py explain=true`, and how far the maps can be believed."""

import pandas as pd

from bus_lightning.core.errors import DamagedError
from bus_lightning.paper.tables import estimate
from bus_lightning.report.figures.pictures import heat_maps
from bus_lightning.report.sections import Item, Section, TableItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.faithfulness import read_maps, summarise_maps


def heat_map_section(conditions: list[Condition]) -> Section | None:
    """Show the heat maps of the conditions whose runs were explained.

    Returns:
        The section; None where no run has heat maps.
    """
    rows, figures = [], []
    for condition in conditions:
        file = condition.runs[0].path / "explain" / "maps.csv"
        if not file.is_file():
            continue
        groups = condition.splits[condition.runs[0].path.name].groups
        try:
            maps = read_maps(file, groups)
        except DamagedError:  # the report's checks list the damaged file
            continue
        for found in summarise_maps(maps, groups).to_dict("records"):
            rows.append({"condition": condition.name, **_written(found)})
        if figure := heat_maps(condition):
            figures.append(figure)
    if not rows:
        return None
    caption = (
        "Do the maps find the lesion? Pointing: share of the images whose strongest pixel lies in the lesion; energy: "
        "share of the map within it; chance: the lesion's share of the image, which a map that knows nothing reaches "
        "in both. Random weights: the same network, not trained; a map that is as good there says nothing about the "
        "training. First run of each condition; n: test images with a lesion and a map that is not zero everywhere; "
        "95% intervals over near-duplicate groups."
    )
    items: list[Item] = [TableItem("heat_maps_believed", caption, pd.DataFrame(rows)), *figures]
    return Section("Heat maps, and how far they can be believed", "Made by `evaluate.py explain=true`.", items)


def _written(found: dict[str, float]) -> dict[str, object]:
    measures = {
        name: estimate(found[name], found[f"{name}_low"], found[f"{name}_high"], digits=2)
        for name in ("pointing", "energy", "chance")
    }
    return {
        "method": str(found["method"]).replace("_", " "),
        "weights": found["weights"],
        "class": found["class"],
        "n": found["images"],
        "without a map": found["without_map"],
        **measures,
    }
