"""Read `cases.csv`, a row per evaluated image, and refuse impossible values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.core.csv_files import bad_cell, check_numbers, read_table, refuse_cut
from bus_lightning.core.errors import DamagedError
from bus_lightning.data.splits import Split
from bus_lightning.metrics.columns import (
    BEFORE_RULE,
    COUNTS,
    LESION_SCORE,
    LESIONS,
    MILLIMETRES,
    PROBABILITY,
    SIZES_MM,
    SURFACE,
    SURFACE_MM,
    classes_of,
)
from bus_lightning.runs.folder import RunDir

_TEXT = ("id", "split", "label")
_MOST_PIXELS = 2**40
_ROUNDED = 0.02  # allowed error of their sum, for 16-bit networks
_MOST_MM = 1e12  # and mm²
_HD95, _SURFACE_DICE = SURFACE
_HD95_MM, _SURFACE_DICE_1MM = SURFACE_MM


def read_cases(path: Path, task: str | None = None, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of cases and check every cell.

    Args:
        path: The CSV.
        task: classification, segmentation or joint, whose columns are required; None requires those of any task.
        classes: Class names of the run, in any order; None takes them from the columns of probabilities, and does not
            check the labels of a segmenter, which may be tested on images of any class or none.

    Returns:
        `id`, `split`, `label`, and `prob_<class>` or the counts of pixels, or both; and perhaps distances and
        millimetres.

    Raises:
        DamagedError: If the file is missing, cut off or not a table; a column is missing or belongs to an unknown
            class; a label is unknown; a probability or count is impossible; the probabilities of a row do not add
            up to 1; an image occurs twice.
    """
    cases = read_table(path, needed=(), text=_TEXT)
    known = [str(name) for name in classes or classes_of(cases)]
    needed = list(_TEXT)
    if task in ("classification", "joint"):
        needed += [f"{PROBABILITY}{name}" for name in known]
    if task in ("segmentation", "joint"):
        needed += COUNTS
    if missing := [name for name in needed if name not in cases]:
        raise DamagedError(path, f"it has no column {', '.join(missing)}")
    if not classes_of(cases) and not set(COUNTS) <= set(cases):
        raise DamagedError(path, f"it has neither columns {PROBABILITY}<class> nor {', '.join(COUNTS)}")
    if foreign := [name for name in classes_of(cases) if name not in known]:
        raise DamagedError(
            path, f"its column {PROBABILITY}{foreign[0]} belongs to none of the classes {', '.join(known)}"
        )
    if cases.empty:
        raise DamagedError(path, "it has no rows")
    if (repeated := cases["id"].duplicated().to_numpy()).any():
        raise bad_cell(path, cases, int(repeated.argmax()), "id", "occurs a second time")
    if known and (unknown := ~cases["label"].isin(known).to_numpy()).any():
        raise bad_cell(path, cases, int(unknown.argmax()), "label", f"is none of the classes {', '.join(known)}")
    columns = [f"{PROBABILITY}{name}" for name in known if f"{PROBABILITY}{name}" in cases]
    for name in columns:
        if (gap := cases[name].isna().to_numpy()).any():
            raise bad_cell(path, cases, int(gap.argmax()), name, "is not a probability (did the training diverge?)")
    check_numbers(path, cases, columns, low=0, high=1)
    if len(columns) > 1 and (off := (abs(cases[columns].sum(axis=1) - 1) > _ROUNDED).to_numpy()).any():
        total = cases[columns].iloc[int(off.argmax())].sum()
        problem = f"and the others of the row add up to {total:.3g}, not 1"
        raise bad_cell(path, cases, int(off.argmax()), columns[0], problem)
    check_numbers(path, cases, COUNTS, low=0, high=_MOST_PIXELS, whole=True)
    check_numbers(path, cases, BEFORE_RULE.values(), low=0, high=_MOST_PIXELS, whole=True)
    check_numbers(path, cases, [LESION_SCORE], low=0, high=1)
    check_numbers(path, cases, [_HD95], low=0, gaps=True)
    check_numbers(path, cases, [_SURFACE_DICE], low=0, high=1, gaps=True)
    _check_lesions(path, cases)
    _check_millimetres(path, cases)
    refuse_cut(path, cases)
    return cases


def _check_lesions(path: Path, cases: pd.DataFrame) -> None:
    """Refuse impossible numbers of lesions; earlier versions did not count them."""
    if not any(name in cases for name in LESIONS):
        return
    if missing := [name for name in (*COUNTS, *LESIONS) if name not in cases]:
        raise DamagedError(path, f"it has no column {', '.join(missing)}")
    check_numbers(path, cases, LESIONS, low=0, high=_MOST_PIXELS, whole=True)
    for fewer, more in (("lesions_found", "lesions"), ("lesions_well_found", "lesions_found")):
        if (wrong := (cases[fewer] > cases[more]).to_numpy()).any():
            raise bad_cell(path, cases, int(wrong.argmax()), fewer, f"is more than {more}")


def _check_millimetres(path: Path, cases: pd.DataFrame) -> None:
    """Refuse impossible millimetres; a row has all of them, or none if its pixel size is not known."""
    if not any(name in cases for name in MILLIMETRES):
        return
    if missing := [name for name in (*COUNTS, *MILLIMETRES) if name not in cases]:
        raise DamagedError(path, f"it has no column {', '.join(missing)}")
    check_numbers(path, cases, [*SIZES_MM, _HD95_MM], low=0, high=_MOST_MM, gaps=True)
    check_numbers(path, cases, [_SURFACE_DICE_1MM], low=0, high=1, gaps=True)
    is_known = cases[SIZES_MM[0]].notna()
    has_distance = is_known & (cases["tp"] + cases["fn"] > 0)
    for name in MILLIMETRES:
        expected = has_distance if name in SURFACE_MM else is_known
        if (wrong := (cases[name].notna() != expected).to_numpy()).any():
            problem = "does not fit the row's other millimetres, which are all there or all missing"
            raise bad_cell(path, cases, int(wrong.argmax()), name, problem)


def cases_of(run: RunDir, config: DictConfig, split: Split) -> pd.DataFrame:
    """Read the validation and test cases of a run, with a column `group`, the near-duplicate group of each image.

    Args:
        run: The run's folder.
        config: The run's config.
        split: The run's split; each image must be in the part that the table names.

    Raises:
        DamagedError: If the table cannot be used.
    """
    cases = read_cases(run.cases, config.task.name, config.data.classes)
    check_parts(run.cases, cases, split)
    if _starts_with_class(config.data):
        folders = cases["id"].str.partition("/")[0]
        if (other := (folders.isin(list(config.data.classes)) & (folders != cases["label"])).to_numpy()).any():
            position = int(other.argmax())
            raise bad_cell(run.cases, cases, position, "label", "is another class than that of the image's id")
    return cases.assign(group=cases["id"].map(split.groups))


def _starts_with_class(data: DictConfig) -> bool:
    """Tell whether ids begin with the class: in a single folder per class whose classes are not mapped."""
    sets = list(options_by_set(data).values())
    return len(sets) == 1 and sets[0]["source"] in ("busi", "folder") and not (sets[0]["map"] or {}).get("class")


def check_parts(path: Path, cases: pd.DataFrame, split: Split) -> None:
    """Refuse validation and test cases that are in another part of the split than the table says.

    Raises:
        DamagedError: At the first one.
    """
    part_of = {id_: part for part in ("val", "test") for id_ in split.part(part)}
    wrong = np.array([part_of.get(id_) != part for id_, part in zip(cases["id"], cases["split"], strict=True)])
    if wrong.any():
        position = int(wrong.argmax())
        problem = f"is wrong: '{cases['id'].iloc[position]}' is not in that part of split.json"
        raise bad_cell(path, cases, position, "split", problem)
