"""Read a folder per class: `<class>/<name>.png` next to `<name>_mask.png`, also below `train/`, `val/` and `test/`.

The images and masks of a class may also lie in two folders: `<class>/images/<name>.png`, `<class>/masks/<name>.png`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.data.listing import Listing, describe_skipped, id_of, list_folder
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.folder_names import IMAGES, MASKS, PARTS
from bus_lightning.data.sources.pictures import (
    folder_named,
    folders_in,
    list_pictures,
    take_masks,
)
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame

CARD = Card("A folder per class", citation="", licence="", homepage="", seen="files")
_ALL = "all"  # BUS-UC's folder of all images


def read(root: Path, options: Mapping[str, Any], dataset: str = "folder") -> SourceIndex:
    """Read the index; an id is the path below the root without `.png`, and the class is the name of the folder.

    If all folders of the root are named as parts (`train`, `val`, `test`), the classes are one level deeper, and
    `parts_1` is the part of each image.
    """
    places = folders_in(root)
    by_part = {place: PARTS[place.casefold()] for place in places if place.casefold() in PARTS}
    has_parts = len(by_part) == len(places) > 1
    rows, skipped, orphans, notes = [], dict[str, str](), list[str](), list[str]()
    for place in by_part if has_parts else [""]:
        above = f"{place}/" if place else ""
        listing = list_folder(root / place)
        classes = _classes_of_two_folders(root / place, listing, 1 if has_parts else 2)
        own = _read_two_folders(root, above, classes, listing, orphans, notes)
        skipped |= {above + file: reason for file, reason in listing.passed_over.items()}
        orphans += [above + file for file in listing.orphans()]
        for id_, image in listing.images.items():
            masks = tuple(above + mask for mask in listing.masks_of(image))
            own.append({"id": above + id_, "image": above + image, "masks": masks, "class": id_.partition("/")[0]})
        rows += [row | ({"parts_1": (by_part[place],)} if place else {}) for row in own]
    if not rows:
        others = f" Skipped: {described}." if (described := describe_skipped(skipped)) else ""
        raise LayoutError(
            f"{root} holds no images: expected <class>/<name>.png and <name>_mask.png below it, or JPEG, BMP or TIFF. "
            f"Set data.root to the folder that contains the class folders.{others}"
        )
    return SourceIndex(make_frame(rows, dataset, str(root)), skipped, sorted(orphans), notes=notes)


def _classes_of_two_folders(place: Path, listing: Listing, least: int) -> dict[str, str]:
    """Find the classes whose images lie in a separate folder: class -> name of that folder; at least so many."""
    flat = {id_.partition("/")[0] for id_ in listing.images}
    classes = {
        name: inner for name in folders_in(place) if name not in flat and (inner := folder_named(place / name, IMAGES))
    }
    return classes if len(classes) >= least else {}


def _read_two_folders(
    root: Path, above: str, classes: Mapping[str, str], listing: Listing, orphans: list[str], notes: list[str]
) -> list[dict[str, Any]]:
    """Read the classes with a folder of images and one of masks, and take their files out of the skipped ones."""
    rows: list[dict[str, Any]] = []
    for name, inner in classes.items():
        within = f"{name}/"
        if name.casefold() == _ALL and len(classes) > 2:
            again = [file for file in listing.passed_over if file.startswith(within)]
            listing.passed_over |= dict.fromkeys(again, f"once more in {name}")
            notes.append(f"{above}{name} is left out: it holds the images of the other folders once more.")
            continue
        masks_folder = folder_named(root / above / name, MASKS)
        others: dict[str, str] = {}
        images = list_pictures(root, f"{above}{name}/{inner}", others)
        masks = list_pictures(root, f"{above}{name}/{masks_folder}", others) if masks_folder else {}
        for file in [*images.values(), *masks.values()]:
            listing.passed_over.pop(file.removeprefix(above), None)
        taken = take_masks(masks, images)
        for stem, image in images.items():
            rows.append({"id": id_of(image), "image": image, "masks": taken[stem], "class": name})
        orphans += masks.values()
        listing.passed_over |= {file.removeprefix(above): reason for file, reason in others.items()}
    return rows
