"""The sources by name, as `data.source` names them."""

from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import PICTURES
from bus_lightning.data.index import find_root
from bus_lightning.data.sources.pictures import IMAGE_FOLDERS, MASK_FOLDERS
from bus_lightning.data.sources.source_index import LayoutError, Source, SourceIndex
from bus_lightning.data.walking import walk

SOURCES = (
    "busi", "folder", "images_masks", "table", "bus_bra", "breast", "bus_uclm", "udiat", "nnunet", "coco",
)  # fmt: skip

_MOST_TO_GUESS = 100_000  # files of a folder that is described


def get_source(name: str) -> Source:
    """Import a source by its name.

    Raises:
        UserError: If there is none.
    """
    if name not in SOURCES:
        raise UserError(f"data.source={name} is unknown: choose one of {', '.join(SOURCES)}.")
    return cast(Source, import_module(f"bus_lightning.data.sources.{name}"))


def read_source(data: Mapping[str, Any]) -> tuple[Path, SourceIndex]:
    """Read the index of the data folder that a config names.

    Args:
        data: The config group `data`.

    Returns:
        The folder, and its index.

    Raises:
        UserError: If the folder is missing, or something in it is wrong; for another layout than the source reads, the
            message says what the folder holds.
    """
    plain: Any = OmegaConf.to_container(data, resolve=True) if OmegaConf.is_config(data) else data
    options: dict[str, Any] = dict(plain)
    name = str(options.get("source") or "folder")
    source = get_source(name)
    root = options.get("root")
    if name == "table" and not root and options.get("table"):
        root = Path(options["table"]).expanduser().absolute().parent
    place = find_root(root, name)
    try:
        return place, source.read(place, options)
    except LayoutError as error:
        raise LayoutError(f"{error} {guess_layout(place)}") from None


def guess_layout(root: Path) -> str:
    """Describe a folder that a source cannot read, and suggest another source; one sentence."""
    if not root.is_dir():
        return f"{root} is not a folder."
    try:
        files = list(walk(root, _MOST_TO_GUESS))
    except UserError as error:
        return str(error)
    counts = Counter(
        file.parent.relative_to(root).as_posix() for file in files if file.suffix.lower() in PICTURES and file.is_file()
    )
    seen = ", ".join(f"{number} pictures in {place}/" for place, number in sorted(counts.items())[:6]) or "no pictures"
    return f"{root} has {seen}{_suggest(root, files, counts)}."


def _suggest(root: Path, files: list[Path], counts: Mapping[str, int]) -> str:
    marks = {
        "bus_bra": ("bus_data.csv", "BUSBRA/bus_data.csv"), "bus_uclm": ("INFO.csv", "BUS-UCLM/INFO.csv"),
        "udiat": ("DatasetB.xlsx", "Dataset B/DatasetB.xlsx"), "nnunet": ("dataset.json",),
    }  # fmt: skip
    for name, places in marks.items():
        if any((root / place).exists() for place in places):
            return f": try data={name}"
    names = {place.casefold() for place in counts}
    if names & set(IMAGE_FOLDERS) and names & set(MASK_FOLDERS):
        return ": try data=images_masks"
    books = [file for file in files if file.suffix.lower() == ".xlsx"]
    if books and any("_tumor" in file.stem for file in files):
        return ": try data=breast"
    if {"/".join(place.split("/")[1:]) for place in names} & set(IMAGE_FOLDERS):
        return ": try data=folder"
    tables = [file for file in files if file.suffix.lower() in (".csv", ".xlsx", ".parquet")]
    if tables:
        table = tables[0].relative_to(root).as_posix()
        return f" and the table {table}: try data=table data.table={root / table}"
    if len([file for file in files if file.suffix.lower() == ".json"]) == 1:
        return " and a JSON: try data=coco if it holds the annotations"
    return ": name the images in a table, data=table"
