"""Read `cases.csv`, a row per evaluated image."""

from pathlib import Path

import pandas as pd

_TEXT = ("id", "split", "label")


def read_cases(path: Path) -> pd.DataFrame:
    """Read a table of cases as it was written: only numbers can be missing, for a class may be called 0 or NA.

    Raises:
        OSError: When it is not there.
        ValueError: When it is no table.
    """
    gaps = {name: ["", "nan"] for name in pd.read_csv(path, nrows=0) if name not in _TEXT}
    return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=gaps)
