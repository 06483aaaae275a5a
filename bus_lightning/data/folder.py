"""List a data folder: images, their masks, and the files that are neither, each with the reason."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bus_lightning.core.errors import UserError

DICOM = (".dcm", ".dicom")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # such a file is read, or refused with its name
HIDDEN = "hidden or of the operating system"
_SYSTEM = frozenset(["thumbs.db", "desktop.ini", "icon\r"])
_BACKUP = re.compile(r".*(~|\.(bak|orig|old|tmp|part|swp|crdownload)|\.(png|jpe?g|bmp|tiff?)\.\w*)", re.IGNORECASE)
_MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?", re.IGNORECASE)


@dataclass
class Listing:
    """The files of a data folder, as paths relative to it.

    Attributes:
        images: Id -> image. The id is the path without `.png`; other endings stay, so that `a.png` and `a.jpg` differ.
        masks: `<class>/<stem of the image>` -> mask files, sorted.
        passed_over: File that is neither -> the reason.
    """

    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)

    def masks_of(self, image: str) -> tuple[str, ...]:
        """Return the masks of an image: the files `<stem>_mask[_N]` beside it, of any picture format."""
        return self.masks.get(without_ending(image), ())

    def orphans(self) -> list[str]:
        """List the mask files that have no image."""
        stems = {without_ending(image) for image in self.images.values()}
        return sorted(file for stem, files in self.masks.items() if stem not in stems for file in files)


def list_folder(root: Path) -> Listing:
    """Sort the files of a data folder into images and masks, by content if the file extension does not decide.

    Raises:
        UserError: When two images would have the same id.
    """
    found = Listing()
    for file in sorted(_pictures(root, found.passed_over)):
        stem = without_ending(file)
        if mask := _MASK.fullmatch(stem):
            found.masks[mask["image"]] = (*found.masks.get(mask["image"], ()), file)
            continue
        id_ = stem if file.lower().endswith(".png") else file
        if id_ in found.images:
            raise UserError(f"{root}/{file} and {found.images[id_]} have the same id, '{id_}': rename one of them.")
        found.images[id_] = file
    return found


def without_ending(file: str) -> str:
    """Remove a picture's file extension, in upper or lower case; any other extension is part of the name."""
    ending = Path(file).suffix
    return file.removesuffix(ending) if ending.lower() in ENDINGS else file


def describe(passed_over: dict[str, str], names: int = 2) -> str:
    """Count the skipped files by reason, and name some of each; empty if there are none."""
    parts = []
    for reason, number in Counter(passed_over.values()).most_common():
        files = [file for file, why in sorted(passed_over.items()) if why == reason]
        more = ", ..." if number > names else ""
        parts.append(f"{number} {reason} ({', '.join(files[:names])}{more})")
    return "; ".join(parts)


def _pictures(root: Path, passed_over: dict[str, str]) -> Iterator[str]:
    """List the pictures in the class folders of a data folder, and note the other files."""
    for entry in os.scandir(root):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            for inner in os.scandir(entry):
                file = f"{entry.name}/{inner.name}"
                if inner.is_dir():
                    if not inner.name.startswith("."):
                        passed_over.update(_deeper(root, Path(entry.path), inner.name))
                elif reason := _not_a_picture(inner):
                    passed_over[file] = reason
                else:
                    yield file
        elif Path(entry.name).suffix.lower() in (*ENDINGS, *DICOM):
            passed_over[entry.name] = "outside the class folders"


def _not_a_picture(entry: "os.DirEntry[str]") -> str:
    """Say why a file of a class folder is not read as a picture; empty if it is."""
    if entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
        return HIDDEN
    if _BACKUP.fullmatch(entry.name):
        return "backup copies, judging by their names"
    if not entry.is_file() and not entry.is_symlink():  # opening it could block; a broken link gets an error later
        return "pipes or devices"
    if Path(entry.name).suffix.lower() in ENDINGS:
        return ""
    from bus_lightning.diagnosis.reading import kind_of  # slow to import, and rarely needed

    try:
        kind = kind_of(Path(entry.path))
    except UserError as error:
        return str(error).rstrip(".").removeprefix("The file is ").partition(", whatever")[0]
    return {
        "picture": "",
        "DICOM": "in DICOM, which training does not read: save each as PNG",
        "video": "videos: save their frames as PNG, and keep the frames of a video in one part of the split",
    }[kind]


def _deeper(root: Path, above: Path, name: str) -> dict[str, str]:
    """Find the pictures in subfolders of a class folder: file -> reason why they are skipped."""
    found = {}
    for place, folders, files in os.walk(above / name):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in (*ENDINGS, *DICOM):
                found[Path(place, file).relative_to(root).as_posix()] = "in subfolders of the class folders"
    return found
