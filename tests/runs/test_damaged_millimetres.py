"""Impossible millimetres in cases.csv are named with their place, as every other number is."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.columns import MILLIMETRES
from bus_lightning.runs.cases import read_cases

ALL = "does not fit the row's other millimetres"
# The fifth row is a lesion with a known pixel size, the sixth a normal image, the seventh has no known size.
CELLS = {
    "a negative area": (4, "area_mm2", "-1", "row 5 (line 6), column area_mm2: '-1.0' is below 0"),
    "text for an axis": (4, "long_axis_mm", "long", "column long_axis_mm: 'long' is not a number"),
    "a negative axis": (4, "predicted_long_axis_mm", "-0.5", "column predicted_long_axis_mm: '-0.5' is below 0"),
    "an infinite distance": (4, "hd95_mm", "inf", "column hd95_mm: 'inf' is above"),
    "a negative distance": (4, "hd95_mm", "-2", "column hd95_mm: '-2.0' is below 0"),
    "a share above 1": (4, "surface_dice_1mm", "1.5", "column surface_dice_1mm: '1.5' is above 1"),
    "no area": (4, "area_mm2", "", f"column long_axis_mm: '4.0' {ALL}"),
    "no predicted area": (4, "predicted_area_mm2", "", f"column predicted_area_mm2: an empty cell {ALL}"),
    "no distance of a lesion": (4, "hd95_mm", "", f"column hd95_mm: an empty cell {ALL}"),
    "NaN for the distance of a lesion": (4, "surface_dice_1mm", "nan", f"surface_dice_1mm: an empty cell {ALL}"),
    "a distance without a lesion": (5, "hd95_mm", "3", f"row 6 (line 7), column hd95_mm: '3.0' {ALL}"),
    "an axis of an unknown size": (6, "long_axis_mm", "3", f"row 7 (line 8), column long_axis_mm: '3.0' {ALL}"),
}


@pytest.fixture
def run(finished):
    """The folder of a segmenter's run with millimetres for two of three lesions."""
    run = finished("model=u2net_lite")
    cases = pd.read_csv(run.cases)
    known, lesion = np.arange(len(cases)) % 9 < 6, (cases["tp"] + cases["fn"] > 0).to_numpy()
    sizes = dict.fromkeys(MILLIMETRES, np.where(known, 4.0, np.nan))
    distances = {"hd95_mm": np.where(known & lesion, 2.0, np.nan)}
    shares = {"surface_dice_1mm": np.where(known & lesion, 0.5, np.nan)}
    run.write_cases(cases.assign(**sizes | distances | shares))
    return run


def test_rows_with_and_without_millimetres_are_read(run):
    cases = read_cases(run.cases, "segmentation")
    assert (cases["area_mm2"].notna().sum(), cases["hd95_mm"].notna().sum()) == (42, 28)
    assert np.isnan(cases["long_axis_mm"].iloc[6])


@pytest.mark.parametrize("bad", CELLS)
def test_an_impossible_cell_in_millimetres_is_named(run, bad):
    row, column, value, expected = CELLS[bad]
    cases = pd.read_csv(run.cases, dtype=str, keep_default_na=False)
    cases.loc[row, column] = value
    cases.to_csv(run.cases, index=False)
    with pytest.raises(DamagedError) as refused:
        read_cases(run.cases, "segmentation")
    assert expected in str(refused.value)


@pytest.mark.parametrize("column", MILLIMETRES)
def test_a_table_has_all_columns_in_millimetres_or_none(run, column):
    pd.read_csv(run.cases).drop(columns=column).to_csv(run.cases, index=False)
    with pytest.raises(DamagedError, match=f"it has no column {column}"):
        read_cases(run.cases, "segmentation")
    pd.read_csv(run.cases).drop(columns=[*MILLIMETRES], errors="ignore").to_csv(run.cases, index=False)
    assert not set(MILLIMETRES) & set(read_cases(run.cases, "segmentation"))
