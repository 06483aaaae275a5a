"""The folder `<run>/robustness/`: the cases of a run's test images, corrupted and as they are, a file for each."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bus_lightning.core.cache import cleared
from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.errors import DamagedError, UserError, cured_by
from bus_lightning.core.files import aside, checksum, is_there, write_aside
from bus_lightning.core.reading import read_json
from bus_lightning.data.corruptions import CORRUPTIONS, STRENGTHS
from bus_lightning.data.splits import Split
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.made_with import refuse_other_weights

log = logging.getLogger(__name__)
FOLDER = "robustness"


@dataclass(frozen=True)
class Level:
    """A corruption in one strength.

    Attributes:
        corruption: Key of `CORRUPTIONS`; empty for images as they are.
        strength: 1 (slight) to 5 (severe), 0 for images as they are.
    """

    corruption: str = ""
    strength: int = 0

    @property
    def file(self) -> str:
        """Name of its table."""
        return f"{self.corruption}-{self.strength}.csv" if self.corruption else "clean.csv"


CLEAN = Level()
LEVELS = (CLEAN, *(Level(name, strength) for name in CORRUPTIONS for strength in STRENGTHS))


class RobustnessDir:
    """The tables of a run's corrupted test images, and `made.json`, which says what they were made with.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "made.json"

    def start(self, made_with: Mapping[str, Any]) -> set[Level]:
        """Begin or continue with weights and images, and return the levels that are complete with these.

        The tables of others are removed.
        """
        made, files = self._read_manifest()
        complete = {}
        for level in LEVELS:
            file = self.path / level.file
            is_known = made == made_with and level.file in files
            if is_known and file.is_file() and files[level.file] == checksum(file):
                complete[level] = files[level.file]
                continue
            if is_known:
                log.warning("%s is made again: it is missing or its checksum differs.", file)
            cleared(file).unlink(missing_ok=True)
        self._write_manifest(made_with, {level.file: sum_ for level, sum_ in complete.items()})
        return set(complete)

    def write(self, level: Level, cases: pd.DataFrame, made_with: Mapping[str, Any]) -> None:
        """Write the cases of a level, completely or not at all."""
        with aside(self.path / level.file) as path:
            write_csv(cases, path)
        # Last: a table whose checksum is not listed is made again.
        self._write_manifest(made_with, self._read_manifest()[1] | {level.file: checksum(self.path / level.file)})

    def _write_manifest(self, made_with: Mapping[str, Any], files: Mapping[str, str]) -> None:
        write_aside(cleared(self.manifest), json.dumps({"made_with": made_with, "files": files}, indent=1) + "\n")

    def _read_manifest(self) -> tuple[Any, dict[str, Any]]:
        try:
            content = read_json(self.manifest)
        except (OSError, UserError):  # without it, or with a damaged one, the tables are made again
            return None, {}
        files = content.get("files")
        return content.get("made_with"), files if isinstance(files, dict) else {}


def corruption_values() -> dict[str, list[float]]:
    """Return what the strengths 1 to 5 of each corruption are, for `made.json`."""
    return {name: list(map(float, corruption.values)) for name, corruption in CORRUPTIONS.items()}


@cured_by("Run `evaluate.py robustness=true` again")
def read_robustness(run: RunDir, task: str, classes: Sequence[str], split: Split) -> dict[Level, pd.DataFrame]:
    """Read the cases of a run's corrupted test images.

    Args:
        run: The run.
        task: Its task.
        classes: Its classes.
        split: Its split.

    Returns:
        Level -> a row per image, with the column `group`; all levels have the same images. Empty if there are none.

    Raises:
        DamagedError: If a table is damaged, or was made with other corruptions than those of this version.
    """
    folder = run.path / FOLDER
    manifest = RobustnessDir(folder).manifest
    present = [level for level in LEVELS if is_there(folder / level.file)]
    if CLEAN not in present:
        return {}
    try:
        made_with = read_json(manifest).get("made_with")
    except FileNotFoundError as error:
        raise DamagedError(manifest, "it is missing") from error
    if not isinstance(made_with, dict) or made_with.get("values") != corruption_values():
        raise DamagedError(manifest, "its corruptions are not those of this version")
    refuse_other_weights(run, made_with, manifest)
    tables: dict[Level, pd.DataFrame] = {}
    for level in present:
        file = folder / level.file
        cases = read_cases(file, task, classes)
        ids = set(cases["id"])
        if foreign := ids - set(split.test):
            raise DamagedError(file, f"'{min(foreign)}' is not a test image of split.json")
        if level != CLEAN and ids != set(tables[CLEAN]["id"]):
            raise DamagedError(file, f"its images are not those of {CLEAN.file}")
        tables[level] = cases.assign(group=cases["id"].map(split.groups))
    return tables
