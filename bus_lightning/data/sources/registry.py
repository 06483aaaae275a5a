"""The sources by name, as `data.source` names them."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import find_root
from bus_lightning.data.sources.source_index import LayoutError, Source, SourceIndex

SOURCES = (
    "busi", "folder", "images_masks", "table", "bus_bra", "breast", "bus_uclm", "udiat", "nnunet", "coco",
)  # fmt: skip


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
    from bus_lightning.data.file_kinds import PICTURES

    if not root.is_dir():
        return f"{root} is not a folder."
    counts: dict[str, int] = {}
    for path in root.rglob("*"):
        if path.suffix.lower() in PICTURES and path.is_file():
            place = path.parent.relative_to(root).as_posix()
            counts[place] = counts.get(place, 0) + 1
    seen = ", ".join(f"{number} pictures in {place}/" for place, number in sorted(counts.items())[:6]) or "no pictures"
    marks = {
        "bus_bra": ("bus_data.csv", "BUSBRA/bus_data.csv"), "bus_uclm": ("INFO.csv", "BUS-UCLM/INFO.csv"),
        "udiat": ("DatasetB.xlsx", "Dataset B/DatasetB.xlsx"), "nnunet": ("dataset.json",),
    }  # fmt: skip
    for name, files in marks.items():
        if any((root / file).exists() for file in files):
            return f"{root} has {seen}: try data={name}."
    names = {place.casefold() for place in counts}
    if any(word in names for word in ("images", "imgs", "original")) and any(
        word in names for word in ("masks", "labels", "gt")
    ):
        return f"{root} has {seen}: try data=images_masks."
    if list(root.glob("*.xlsx")) and any("_tumor" in path.name for path in root.rglob("*_tumor*.png")):
        return f"{root} has {seen}: try data=breast."
    tables = sorted(path.name for pattern in ("*.csv", "*.xlsx", "*.parquet") for path in root.glob(pattern))
    if tables:
        return f"{root} has {seen} and the table {tables[0]}: try data=table data.table={root / tables[0]}."
    return f"{root} has {seen}: name the images in a table, data=table."
