"""List a data folder: its images, their masks, and the skipped files, each with the reason."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import DICOM, PICTURES, describe_unknown, is_system_file, kind_of
from bus_lightning.data.walking import walk

if TYPE_CHECKING:
    import pandas as pd

HIDDEN = "hidden or of the operating system"
_BACKUP = re.compile(r".*(~|\.(bak|orig|old|tmp|part|swp|crdownload)|\.(png|jpe?g|bmp|tiff?)\.\w*)", re.IGNORECASE)
_MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?", re.IGNORECASE)
_REASONS = {
    "DICOM": "in DICOM, which training does not read: save each as PNG",
    "video": "videos: save their frames as PNG, and keep the frames of a video in one part of the split",
}


@dataclass
class Listing:
    """The files of a data folder, as paths relative to it.

    Attributes:
        images: Id -> image. The id is the path without `.png`; other extensions stay, so `a.png` and `a.jpg` differ.
        masks: `<class>/<stem of the image>` -> mask files, sorted.
        passed_over: Skipped file -> the reason.
    """

    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)

    def masks_of(self, image: str) -> tuple[str, ...]:
        """Return the masks of an image: the files `<stem>_mask[_N]` next to it, of any picture format."""
        return self.masks.get(without_extension(image), ())

    def orphans(self) -> list[str]:
        """List the mask files that have no image."""
        stems = {without_extension(image) for image in self.images.values()}
        return sorted(file for stem, files in self.masks.items() if stem not in stems for file in files)


def list_folder(root: Path) -> Listing:
    """Sort the files of a data folder into images and masks, by content if the file extension does not decide.

    Raises:
        UserError: If two images would have the same id.
    """
    listing = Listing()
    for file in sorted(_find_pictures(root, listing.passed_over)):
        stem = without_extension(file)
        if mask := _MASK.fullmatch(stem):
            listing.masks[mask["image"]] = (*listing.masks.get(mask["image"], ()), file)
            continue
        id_ = id_of(file)
        if id_ in listing.images:
            raise UserError(f"{root}/{file} and {listing.images[id_]} have the same id, '{id_}': rename one of them.")
        listing.images[id_] = file
    return listing


def without_extension(file: str) -> str:
    """Remove a picture's file extension, in upper or lower case; any other extension is part of the name."""
    extension = Path(file).suffix
    return file.removesuffix(extension) if extension.lower() in PICTURES else file


def id_of(file: str) -> str:
    """Return the id of an image by its path: without `.png`; other extensions stay."""
    return without_extension(file) if file.lower().endswith(".png") else file


def refuse_shared_masks(frame: "pd.DataFrame", groups: Mapping[str, int]) -> None:
    """Refuse images that differ by their extension only, have a mask in common and do not show the same frame.

    Args:
        frame: The index.
        groups: Id -> number of its near-duplicate group.

    Raises:
        UserError: If there are such images: it is not known whose mask it is.
    """
    first: dict[str, Any] = {}
    for row in frame.itertuples():
        other = first.setdefault(without_extension(str(row.image)), row)
        if groups[other.id] != groups[row.id] and (shared := set(other.masks) & set(row.masks)):
            raise UserError(
                f"{other.image} and {row.image} are different pictures, and {min(shared)} is the mask of both by its "
                "name: rename one of them, or leave one out with data.exclude=FILE.csv."
            )


def describe_skipped(skipped: dict[str, str], names: int = 2) -> str:
    """Count the skipped files by reason, and name some of each; empty if there are none."""
    parts = []
    for reason, number in Counter(skipped.values()).most_common():
        files = [file for file, why in sorted(skipped.items()) if why == reason]
        more = ", ..." if number > names else ""
        parts.append(f"{number} file{'s' * (number != 1)} ({', '.join(files[:names])}{more}): {reason}")
    return "; ".join(parts)


def _find_pictures(root: Path, skipped: dict[str, str]) -> Iterator[str]:
    """List the pictures in the class folders of a data folder, and note the other files."""
    for entry in list(os.scandir(root)):
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            for inner in list(os.scandir(entry)):  # closed also if an error ends the walk
                file = f"{entry.name}/{inner.name}"
                if not _is_folder(inner):
                    if reason := _reason_to_skip(inner):
                        skipped[file] = reason
                    else:
                        yield file
                elif not inner.name.startswith("."):
                    skipped.update(_find_deeper(root, Path(inner)))
        elif Path(entry.name).suffix.lower() in (*PICTURES, *DICOM):
            skipped[entry.name] = "outside the class folders"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    with suppress(OSError):  # a link that leads to itself
        return entry.is_dir()
    return False


def _reason_to_skip(entry: "os.DirEntry[str]") -> str:
    """Say why a file of a class folder is not read as a picture; empty if it is."""
    if is_system_file(entry.name):
        return HIDDEN
    if _BACKUP.fullmatch(entry.name):
        return "backup copies, judging by their names"
    with suppress(OSError):  # a link to nothing or to itself: reported when the file is read
        if not stat.S_ISREG(entry.stat().st_mode):
            return "pipes or devices"
    if Path(entry.name).suffix.lower() in PICTURES:
        return ""
    try:
        return _REASONS.get(kind_of(Path(entry.path)), "")
    except UserError as error:
        return describe_unknown(error)


def _find_deeper(root: Path, folder: Path) -> dict[str, str]:
    """Find the pictures below a subfolder of a class folder: file -> reason why they are skipped."""
    name = folder.relative_to(root).as_posix()
    if folder.is_symlink():  # it may lead back, or to a whole disk
        return {name: "links to folders"}
    pictures = (path for path in walk(folder) if path.suffix.lower() in (*PICTURES, *DICOM) and path.is_file())
    files = sorted(path.relative_to(root) for path in pictures)
    deeper = {file.as_posix(): "in subfolders of the class folders" for file in files}
    if folder.suffix.lower() in (*PICTURES, *DICOM):
        deeper[name] = "folders that are named like pictures"
    return deeper
