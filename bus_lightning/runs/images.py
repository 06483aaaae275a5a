"""What is known of each image of a run, or of an evaluation of it, before anything is predicted: `images.csv`."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd

from bus_lightning.core.csv_files import bad_cell, check_numbers, read_table, refuse_cut, write_csv
from bus_lightning.core.errors import DamagedError
from bus_lightning.core.files import aside, is_there
from bus_lightning.core.printable import printable
from bus_lightning.data.splits import Split, load_split
from bus_lightning.runs.evaluation_folders import list_evaluations
from bus_lightning.runs.folder import RunDir

_TEXT = ("id", "dataset", "class", "device", "birads")
_WHOLE = ("patient", "duplicates", "width", "height")
_SHARES = ("lesion_share", "marked", "tinted")
_MOST_MM = 1e12
COLUMNS = ("id", "dataset", "class", "patient", "duplicates", "width", "height", "lesion_share", "lesion_mm", "marked",
           "tinted", "device", "birads")  # fmt: skip


def write_images(folder: RunDir, images: pd.DataFrame) -> None:
    """Write `images.csv`, a row per image, as `data.described.tabulate_images` returns it."""
    with aside(folder.images) as path:
        write_csv(images, path)


def read_images(path: Path) -> pd.DataFrame:
    """Read `images.csv` and check every cell.

    Raises:
        DamagedError: If it is not such a table.
    """
    images = read_table(path, COLUMNS, _TEXT)
    if (repeated := images["id"].duplicated().to_numpy()).any():
        raise bad_cell(path, images, int(repeated.argmax()), "id", "occurs a second time")
    check_numbers(path, images, _WHOLE, low=0, whole=True, gaps=True)
    check_numbers(path, images, _SHARES, low=0, high=1, gaps=True)
    check_numbers(path, images, ["lesion_mm"], low=0, high=_MOST_MM, gaps=True)
    refuse_cut(path, images)
    for name in ("dataset", "class", "device", "birads"):
        images[name] = images[name].map(printable)
    return images.astype(dict.fromkeys((*_WHOLE, *_SHARES, "lesion_mm"), "float64"))


def find_recorded_images(folder: RunDir, split: Split) -> pd.DataFrame | None:
    """Read what is known of the images of a run, from its own folder or from that of an evaluation of its images.

    Args:
        folder: The run's folder.
        split: The run's split.

    Returns:
        As `read_images`; None if no such file has all images of the split, as in a run of an earlier version.
    """
    for place in own_folders(folder, split):
        with suppress(DamagedError):  # the checks of a report name it
            images = read_images(place.images) if is_there(place.images) else None
            if images is not None and set(split.part("all")) <= set(images["id"]):
                return images
    return None


def own_folders(folder: RunDir, split: Split) -> Iterator[RunDir]:
    """List the folder of a run, and those of its evaluations that have the same parts.

    An evaluation by a later version records what the run itself, of an earlier version, has not.
    """
    yield folder
    for place in list_evaluations(folder):
        with suppress(DamagedError):
            if load_split(place.split).hash == split.hash:
                yield place
