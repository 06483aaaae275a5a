"""The sizes of the test images' lesions: their share of the image, and their long axis in millimetres."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.metrics.columns import COUNTS
from bus_lightning.metrics.lesion_size import measure_lesion
from bus_lightning.report.figures.pictures import find_data
from bus_lightning.runs.images import find_recorded_images
from bus_lightning.statistics.conditions import Condition

Sizes = tuple[pd.Series, pd.Series]


def lesion_sizes(conditions: list[Condition]) -> dict[str, Sizes]:
    """Measure the lesion of each test image: from the cases of segmenters, from what the runs recorded, or from masks.

    Args:
        conditions: Those of one task.

    Returns:
        Name of a condition -> two tables of its images, which others with the same files share: id -> share of the
        image in [0, 1]; id -> long axis in mm, only where the size of a pixel is known. Both are 0 without a lesion.
    """
    by_files: dict[str, list[Condition]] = {}
    for condition in conditions:  # two data sets can have an image of one id
        by_files.setdefault(condition.files, []).append(condition)
    sizes = [(members, _sizes_of(members)) for members in by_files.values()]
    return {condition.name: own for members, own in sizes for condition in members}


def _sizes_of(conditions: list[Condition]) -> Sizes:
    counted = [condition.part("test") for condition in conditions if "tp" in condition.cases]
    if counted:
        cases = pd.concat(counted)
        images = cases.drop_duplicates("id").set_index("id")
        shares = (images["tp"] + images["fn"]) / images[list(COUNTS)].sum(axis=1)
        known = cases.dropna(subset="long_axis_mm") if "long_axis_mm" in cases else cases.assign(long_axis_mm=0.0)[:0]
        return shares, known.drop_duplicates("id").set_index("id")["long_axis_mm"]
    measured, in_mm = _recorded(conditions)
    long_axes: dict[str, float] = {}
    for condition in conditions:
        # Only an image whose pixel size is known has to be opened if its lesion was recorded.
        unknown = set(condition.part("test")["id"]) - (measured.keys() - in_mm)
        if not unknown or (data := find_data(condition.config)) is None:
            continue
        root, frame = data
        for row in frame[frame["id"].isin(unknown - long_axes.keys())].itertuples():
            with suppress(UserError, OSError):  # a damaged mask leaves out an image, not the report
                measured[row.id] = _share(root, row.masks)
                if isinstance(mm_per_pixel := getattr(row, "mm_per_pixel", None), tuple):
                    shape = read_image(root / row.image).shape[:2]
                    long_axes[row.id] = measure_lesion(read_mask(root, row.masks, shape), mm_per_pixel)[1]
    return pd.Series(measured, dtype=float), pd.Series(long_axes, dtype=float)


def _recorded(conditions: list[Condition]) -> tuple[dict[str, float], set[str]]:
    """Collect the shares that the runs recorded, and the ids of the images whose pixel size is known."""
    tables: dict[str, pd.DataFrame] = {}
    for condition in conditions:
        for run in condition.runs:
            split = condition.splits.get(run.path.name)
            if split and split.hash not in tables and (images := find_recorded_images(run, split)) is not None:
                tables[split.hash] = images
    if not tables:
        return {}, set()
    images = pd.concat(tables.values()).dropna(subset="lesion_share")
    shares = dict(zip(images["id"], images["lesion_share"].astype(float), strict=True))
    return shares, set(images.loc[images["lesion_mm"].notna(), "id"])


def _share(root: Path, masks: tuple[str, ...]) -> float:
    if not masks:
        return 0.0
    with open_regular(root / masks[0]) as stream, Image.open(stream) as first:
        width, height = first.size
    return float(read_mask(root, masks, (height, width)).mean())
