"""The folder `<run>/baselines/`: what a classifier without a network predicts for the run's images."""

from collections.abc import Sequence

import pandas as pd

from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.errors import cured_by
from bus_lightning.core.files import aside, is_there
from bus_lightning.data.splits import Split
from bus_lightning.runs.cases import check_parts, read_cases
from bus_lightning.runs.folder import RunDir

FOLDER = "baselines"
BASELINES = {"statistics": "20 statistics of the image", "lesion_size": "the lesion's size alone"}
"""Name of a table -> what the baseline knows of an image."""


def write_baseline(run: RunDir, name: str, cases: pd.DataFrame) -> None:
    """Write the cases of a baseline, completely or not at all."""
    with aside(run.path / FOLDER / f"{name}.csv") as path:
        write_csv(cases, path)


@cured_by("Run `evaluate.py baselines=true` again")
def read_baseline(run: RunDir, name: str, classes: Sequence[str], split: Split) -> pd.DataFrame | None:
    """Read the cases of a baseline.

    Args:
        run: The run, whose training images it was fitted on.
        name: Key of `BASELINES`.
        classes: The run's classes.
        split: The run's split.

    Returns:
        A row per validation and test image, with the column `group`; None if there is none.

    Raises:
        DamagedError: If the table is damaged, or of other images.
    """
    file = run.path / FOLDER / f"{name}.csv"
    if not is_there(file):
        return None
    cases = read_cases(file, "classification", classes)
    check_parts(file, cases, split)
    return cases.assign(group=cases["id"].map(split.groups))
