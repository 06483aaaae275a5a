"""List the pictures of a folder, as paths below the root of the data set."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import PICTURES, is_system_file
from bus_lightning.data.listing import HIDDEN
from bus_lightning.data.sources.folder_names import MASK_ENDINGS
from bus_lightning.data.walking import walk

_ENDING = re.compile(rf"(?P<image>.+?)(?P<ending>{'|'.join(MASK_ENDINGS)})((?<=_mask)_(?P<number>\d+))?", re.IGNORECASE)


def list_pictures(root: Path, folder: str = "", skipped: dict[str, str] | None = None) -> dict[str, str]:
    """List the pictures that lie directly in a folder.

    Args:
        root: Root of the data set.
        folder: The folder below it; empty for the root itself.
        skipped: Is filled with the other files: path below the root -> why it is skipped.

    Returns:
        Name without extension -> path below the root, sorted.

    Raises:
        UserError: If there is no such folder, or two pictures differ only by their extension.
    """
    place = root / folder
    if not place.is_dir():
        raise UserError(f"There is no folder {place}: set data.root to the folder of the data set.")
    pictures: dict[str, str] = {}
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        file = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir():
            if skipped is not None and not is_system_file(entry.name):
                skipped.update(_below(Path(entry.path), file))
            continue
        if is_system_file(entry.name):
            reason = HIDDEN
        elif not entry.is_file() and not entry.is_symlink():
            reason = "pipes or devices"
        elif Path(entry.name).suffix.lower() not in PICTURES:
            reason = "not a picture"
        else:
            stem = Path(entry.name).stem
            if stem in pictures:
                raise UserError(f"{root}: {pictures[stem]} and {file} have the same name: rename one of them.")
            pictures[stem] = file
            continue
        if skipped is not None:
            skipped[file] = reason
    return pictures


def find_below(root: Path, *places: str) -> Path | None:
    """Find the folder, the root or one of the folders directly below it, that holds all of these files or folders."""
    inner = [root / name for name in folders_in(root)]
    return next((folder for folder in (root, *inner) if all((folder / place).exists() for place in places)), None)


def folders_in(place: Path) -> list[str]:
    """List the folders in a folder, without hidden ones and that of macOS, sorted."""
    if not place.is_dir():
        return []
    return sorted(path.name for path in place.iterdir() if path.is_dir() and not is_system_file(path.name))


def folder_named(place: Path, names: tuple[str, ...]) -> str | None:
    """Find the only folder in a folder that has one of some names, in upper or lower case."""
    named = [name for name in folders_in(place) if name.casefold() in names]
    return named[0] if len(named) == 1 else None


def take_masks(masks: dict[str, str], stems: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Take the masks of images out of those of a folder: of an image's name, or with `_mask`, `_mask_1` after it.

    Args:
        masks: Name -> path; the masks that are taken are removed.
        stems: Names of the images.

    Returns:
        Name of an image -> its masks, those with a number last.
    """
    with_ending: dict[str, list[tuple[int, int, str]]] = {}
    for name in masks:
        if match := _ENDING.fullmatch(name):
            number, ending = int(match["number"] or -1), match["ending"].casefold()
            with_ending.setdefault(match["image"], []).append((number, MASK_ENDINGS.index(ending), name))
    names = {stem: [stem, *(name for _, _, name in sorted(with_ending.get(stem, ())))] for stem in stems}
    return {stem: tuple(masks.pop(name) for name in own if name in masks) for stem, own in names.items()}


def _below(place: Path, file: str) -> dict[str, str]:
    """List the pictures in a subfolder, which are not read: path below the root -> why."""
    if place.is_symlink():  # it may lead back, or to a whole disk
        return {file: "links to folders"}
    pictures = (path.relative_to(place) for path in walk(place) if path.suffix.lower() in PICTURES)
    return {(PurePosixPath(file) / path).as_posix(): "in subfolders" for path in pictures}
