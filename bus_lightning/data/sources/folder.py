"""Read a folder per class: `<class>/<name>.png` next to `<name>_mask.png`, also below `train/`, `val/` and `test/`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.data.listing import describe_skipped, list_folder
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.folder_names import IMAGES, MASKS, PARTS
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame

CARD = Card("A folder per class", citation="", licence="", homepage="", seen="files")


def read(root: Path, options: Mapping[str, Any], dataset: str = "folder") -> SourceIndex:
    """Read the index; an id is the path below the root without `.png`, and the class is the name of the folder.

    If all folders of the root are named as parts (`train`, `val`, `test`), the classes are one level deeper, and
    `parts_1` is the part of each image.
    """
    places = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    by_part = {place: PARTS[place.casefold()] for place in places if place.casefold() in PARTS}
    has_parts = len(by_part) == len(places) > 1
    kinds = {place.casefold() for place in places}
    if kinds & set(IMAGES) and kinds & set(MASKS) and kinds <= {*IMAGES, *MASKS}:
        raise LayoutError(f"{root} has a folder of images and one of masks, and no folder per class.")
    rows, skipped, orphans = [], dict[str, str](), list[str]()
    for place in by_part if has_parts else [""]:
        above = f"{place}/" if place else ""
        listing = list_folder(root / place)
        skipped |= {above + file: reason for file, reason in listing.passed_over.items()}
        orphans += [above + file for file in listing.orphans()]
        for id_, image in listing.images.items():
            rows.append(
                {
                    "id": above + id_,
                    "image": above + image,
                    "masks": tuple(above + mask for mask in listing.masks_of(image)),
                    "class": id_.partition("/")[0],
                }
                | ({"parts_1": (by_part[place],)} if place else {})
            )
    if not rows:
        others = f" Skipped: {described}." if (described := describe_skipped(skipped)) else ""
        raise LayoutError(
            f"{root} holds no images: expected <class>/<name>.png and <name>_mask.png below it, or JPEG, BMP or TIFF. "
            f"Set data.root to the folder that contains the class folders.{others}"
        )
    return SourceIndex(make_frame(rows, dataset, str(root)), skipped, sorted(orphans))
