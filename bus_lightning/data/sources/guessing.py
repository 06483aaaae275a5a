"""Describe a folder that no source reads as it is, and say what to do; one sentence for a message."""

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import DICOM, PICTURES, VIDEOS, is_system_file
from bus_lightning.data.listing import without_extension
from bus_lightning.data.sources.folder_names import IMAGES, MASK_ENDINGS, MASKS, PARTS
from bus_lightning.data.walking import walk

_MARKS = {
    "bus_bra": ("bus_data.csv",), "bus_uclm": ("INFO.csv",), "udiat": ("DatasetB.xlsx",), "nnunet": ("dataset.json",),
}  # fmt: skip
_TABLES = (".csv", ".tsv", ".xlsx", ".parquet")
_ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz")
_RESTORE = "give its folders and files the names that they are published with"
_MOST_FILES = 200_000  # that are looked at
_SHOWN = 6  # folders in a message


@dataclass
class _Seen:
    """What lies below a folder, by path below it; the root is `.`."""

    pictures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # folder -> names
    others: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # extension -> files

    def below(self, *extensions: str) -> list[str]:
        """List the other files with these extensions, those near the root first."""
        files = [file for extension in extensions for file in self.others.get(extension, ())]
        return sorted(files, key=lambda file: (file.count("/"), file))

    def describe(self) -> str:
        """Count the pictures of each folder."""
        parts = []
        for place, names in sorted(self.pictures.items())[:_SHOWN]:
            kinds = Counter(Path(name).suffix.lower() for name in names)
            where = "its top folder" if place == "." else f"{place}/"
            parts.append(f"{' and '.join(f'{number} {kind}' for kind, number in kinds.most_common())} in {where}")
        more = len(self.pictures) - _SHOWN
        return ", ".join(parts) + (f", and pictures in {more} more folders" if more > 0 else "")


def guess_layout(root: Path, tried: str = "") -> str:
    """Describe a folder that a source cannot read, and suggest another source or what to change; one sentence.

    Args:
        root: The folder.
        tried: The source that could not read it, which is not suggested again.
    """
    if not root.is_dir():
        return f"{root} is not a folder."
    seen = _look(root)
    if not seen.pictures:
        return f"{root} {_describe_without_pictures(seen)}."
    return f"{root} has {seen.describe()}: {_advise(root, seen, tried)}."


def _look(root: Path) -> _Seen:
    """List what lies below a folder, without following links to folders."""
    seen = _Seen()
    with suppress(UserError):  # more files than a data set has: what was seen so far is described
        for path in walk(root, _MOST_FILES):
            place, name, extension = path.parent.relative_to(root).as_posix(), path.name, path.suffix.lower()
            if is_system_file(name) or "__MACOSX" in path.parts:
                continue
            if extension in PICTURES:
                seen.pictures[place].append(name)
            else:
                seen.others[extension].append(name if place == "." else f"{place}/{name}")
    return seen


def _describe_without_pictures(seen: _Seen) -> str:
    if dicom := seen.below(*DICOM):
        return f"has pictures in DICOM only ({len(dicom)} in all), which training does not read: save each as PNG"
    if archives := seen.below(*_ARCHIVES):
        return f"has no pictures, but the archive {archives[0]}: unpack it"
    if videos := seen.below(*VIDEOS):
        return f"has no pictures, but videos ({len(videos)} in all): save their frames as PNG and name them in a table"
    if others := seen.below(*seen.others):
        return f"has no pictures (PNG, JPEG, BMP or TIFF), only other files, such as {others[0]}: set data.root=FOLDER"
    return "is empty: set data.root=FOLDER"


def _advise(root: Path, seen: _Seen, tried: str) -> str:
    """Say what to do with a folder that holds pictures."""
    for name, marks in _MARKS.items():
        for file in seen.below(".csv", ".xlsx", ".json"):
            if PurePosixPath(file).name in marks and file.count("/") <= 1:
                if name == "nnunet" and "/" in file:  # several of its data sets lie next to each other
                    return f"try data=nnunet data.root={(root / file).parent}"
                return f"try data={name}" if name != tried else _RESTORE
    names = [(place, name) for place, inner in seen.pictures.items() for name in inner]
    if seen.below(".xlsx") and any("_tumor" in name for _, name in names):
        return "try data=breast" if tried != "breast" else _RESTORE
    return (
        _advise_pairs(root, seen)
        or _advise_table(root, seen)
        or _advise_classes(root, seen)
        or "name the images in a table, data=table data.table=FILE.csv 'data.columns={image: COLUMN}'"
    )


def _advise_pairs(root: Path, seen: _Seen) -> str:
    """Advise about folders of images and folders of masks."""
    pairs = []
    for place in sorted(seen.pictures):
        path = PurePosixPath(place)
        for other in sorted(seen.pictures):
            if path.parent == PurePosixPath(other).parent and place != other and _is_pair(path.name, other):
                pairs.append((place, other))
    if not pairs:
        return ""
    images, masks = max(pairs, key=lambda pair: len(seen.pictures[pair[0]]))
    above = PurePosixPath(images).parent
    if len(pairs) > 1 and above != PurePosixPath("."):
        places = sorted({PurePosixPath(image).parent.as_posix() for image, _ in pairs})[:_SHOWN]
        if all(PurePosixPath(place).name.casefold() in PARTS for place in places):
            return (
                f"{', '.join(places)} have their own folders of images and masks: name images, masks and parts in a "
                "table, data=table, or try data=images_masks with data.root of one of them"
            )
        return f"if {', '.join(places)} are classes with folders of images and masks, try data=folder"
    stems, of_masks = ({without_extension(name) for name in seen.pictures[place]} for place in (images, masks))
    equal = sum(any(stem + ending in of_masks for ending in ("", *MASK_ENDINGS)) for stem in stems)
    if not equal:
        return (
            f"the names in {images}/ and {masks}/ differ ({min(stems)}, {min(of_masks)}): name images and masks in a "
            "table, data=table"
        )
    usual = PurePosixPath(images).name.lower() in IMAGES and PurePosixPath(masks).name.lower() in MASKS
    folders = [PurePosixPath(place).name for place in (images, masks)]
    named = "" if usual and len(pairs) == 1 else f" data.images={folders[0]} data.masks={folders[1]}"
    place = "" if above == PurePosixPath(".") else f" data.root={root / above}"
    return f"{images}/ and {masks}/ have {equal} equal names: try data=images_masks{place}{named}"


def _is_pair(name: str, other: str) -> bool:
    """Check whether two names are those of a folder of images and of its folder of masks."""
    name, other = name.lower(), PurePosixPath(other).name.lower()
    if name in IMAGES and other in MASKS:
        return True
    return any(
        name.endswith(image) and other.endswith(mask) and name.removesuffix(image) == other.removesuffix(mask) != ""
        for image in IMAGES
        for mask in MASKS
    )


def _advise_table(root: Path, seen: _Seen) -> str:
    tables = [file for file in seen.below(*_TABLES) if "/" not in file]
    if not tables:
        return ""
    return f"try data=table data.table={root / tables[0]} 'data.columns={{image: COLUMN, class: COLUMN}}'"


def _advise_classes(root: Path, seen: _Seen) -> str:
    """Advise about class folders in the wrong place, and pictures that lie all in one folder."""
    places = [PurePosixPath(place) for place in seen.pictures]
    above = {place.parent for place in places if len(place.parts) > 1}
    if len(above) == 1 and all(len(place.parts) > 1 for place in places):
        classes = ", ".join(sorted(place.name for place in places)[:_SHOWN])
        return f"if {classes} are classes, try data=folder data.root={root / above.pop()}"
    if set(seen.pictures) == {"."}:
        stems = [without_extension(name) for name in seen.pictures["."]]
        has_masks = any("_mask" in stem.lower() for stem in stems)
        columns = "image: COLUMN, class: COLUMN" + (', mask: "{stem}_mask*.png"' if has_masks else "")
        return (
            "move the images of each class into a folder and try data=folder, or name them in a table, "
            f"data=table data.table=FILE.csv 'data.columns={{{columns}}}'"
        )
    return ""
