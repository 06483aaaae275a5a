"""Read two folders with the same names: `images/x.png` and `masks/x.png`; no classes and no patients."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.folder_names import IMAGES, MASKS
from bus_lightning.data.sources.pictures import list_pictures, take_masks
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame

CARD = Card("Two folders of equal names", citation="", licence="", homepage="", seen="files")


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; a mask has the name of its image, or that name and `_mask`.

    Args:
        root: The folder.
        options: `images` and `masks` name the two folders; without them, they are found by their usual names.
    """
    images_folder, masks_folder = (
        options.get(kind) or _find(root, kind, names) for kind, names in (("images", IMAGES), ("masks", MASKS))
    )
    skipped: dict[str, str] = {}
    images = list_pictures(root, images_folder, skipped)
    masks = list_pictures(root, masks_folder, skipped)
    for file in (*images.values(), *masks.values()):
        skipped.pop(PurePosixPath(file).as_posix(), None)  # of one folder within the other
    taken = take_masks(masks, images)
    rows = [{"id": stem, "image": image, "masks": taken[stem]} for stem, image in images.items()]
    if images and not any(row["masks"] for row in rows):
        raise UserError(
            f"{root}: no mask in {masks_folder} has the name of an image in {images_folder} "
            f"(such as {next(iter(images))} and {next(iter(masks), 'nothing')}): use data=table for other names."
        )
    return SourceIndex(make_frame(rows, "images_masks", str(root / images_folder)), skipped, sorted(masks.values()))


def _find(root: Path, kind: str, names: tuple[str, ...]) -> str:
    """Find the folder of the images or masks by its name."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    matching = [name for name in folders if name.casefold() in names]
    if len(matching) != 1:
        listed = f"it has {', '.join(folders)}" if folders else "it has no folders"
        raise LayoutError(f"{root}: it is unclear which folder holds the {kind} ({listed}): set data.{kind}=FOLDER.")
    return matching[0]
