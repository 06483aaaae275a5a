"""Read COCO: a JSON with polygons or run lengths, and a folder of images; also COCO-VID, whose videos stay whole."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
from filelock import FileLock
from PIL import Image

from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum, folder_aside, list_checksums
from bus_lightning.core.reading import open_regular, read_json, read_text
from bus_lightning.data.index import unreadable, upright_shape
from bus_lightning.data.listing import without_extension
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.class_map import dropped_words, map_classes
from bus_lightning.data.sources.outlines import draw_outlines, has_outline, import_codec
from bus_lightning.data.sources.places import Places
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame, refuse_repeated
from bus_lightning.data.walking import walk

log = logging.getLogger(__name__)
CARD = Card(
    title="COCO",
    citation="Lin T.-Y. et al. Microsoft COCO: common objects in context. ECCV 2014, doi:10.1007/978-3-319-10602-1_48",
    licence="",
    homepage="https://cocodataset.org",
)
_MOST_PIXELS = 100_000_000
_DIGITS = 16  # of the JSON's hash
_SUMS = "SHA256SUMS"
_CURE = "Export the annotations again"
_Entry = Mapping[str, Any]


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; the class of an image is the category of its annotations, and an image without any is normal.

    The masks are decoded once, as PNG, into the folder `cache`. An annotation without an outline, such as a box, says
    the class alone; its image has no mask, which would lack a lesion.

    Args:
        root: The folder.
        options: `annotations` (the JSON; default: the only one below the root), `images` (folder below the root),
            `map` and `cache`.
    """
    path = _find_json(root, options.get("annotations"))
    content = read_json(path, cure=_CURE)
    images, annotations = _entries(content, "images", path), _entries(content, "annotations", path)
    items_of = _by_image(images, annotations, path)
    classes = _classes(content, annotations, options, path)
    places = Places(root)
    folder = _find_folder(places, options.get("images"), path, images)
    cache = Path(options.get("cache") or "data/cache").absolute() / f"coco-{checksum(path)[:_DIGITS]}"
    rows, missing, drawn, partly = [], [], dict[str, tuple[_Entry, str]](), 0
    for number, image in enumerate(images):
        where = f"{path}, image {image['id']}"
        named = places.path_below(_text(image, "file_name", where), where, folder)
        id_ = without_extension(named.removeprefix(f"{folder}/") if folder else named)
        file = places.find(named)
        if file is None:
            missing.append(id_)
            continue
        items = items_of[image["id"]]
        kinds = sorted({classes[item["category_id"]] for item in items})
        if len(kinds) > 1:
            raise UserError(
                f"{where}: {named} has annotations of the classes {' and '.join(kinds)}: map them to one with "
                "data.map.class, or leave the image out with data.exclude=FILE.csv."
            )
        mask = f"{number}.png"  # not by the image's id, which may hold anything
        outlined = sum(map(has_outline, items))
        if outlined and outlined == len(items):
            drawn[mask] = (image, file)
        partly += 0 < outlined < len(items)
        rows.append({
            "id": id_, "image": file, "masks": (str(cache / mask),) if mask in drawn else (),
            "class": kinds[0] if kinds else HEALTHY,
            "patient": f"video {image['video_id']}" if image.get("video_id") is not None else "",
        })  # fmt: skip
    if missing and not rows:
        raise UserError(f"{root}: none of the {len(missing)} images of {path.name} is in it: set data.images=FOLDER.")
    frame = make_frame(rows, "coco", str(path))
    if drawn:
        _draw(root, cache, drawn, items_of, path)
    boxes = sum(not has_outline(item) for item in annotations)
    notes = [f"{boxes} of {len(annotations)} annotations have no outline: they give only the class."] if boxes else []
    notes += [f"{partly} images have no mask: only a part of their annotations has an outline."] if partly else []
    return SourceIndex(frame, missing=missing, notes=notes)


def _find_json(root: Path, named: str | None) -> Path:
    if named:
        path = root / named
        if not path.exists():
            raise UserError(f"There is no file {path}: set data.annotations to the JSON, as a path below {root}.")
        return path
    files = [file for file in walk(root) if file.suffix.lower() == ".json"]
    if len(files) != 1:
        listed = ", ".join(file.relative_to(root).as_posix() for file in files[:5]) or "none"
        raise LayoutError(f"{root}: expected one JSON of annotations, it has {listed}: set data.annotations=FILE.json.")
    return files[0]


def _find_folder(places: Places, named: str | None, path: Path, images: Sequence[_Entry]) -> str:
    """Find the folder that the names of the images are relative to: `images`, that of the JSON, or the root."""
    if named:
        return str(named)
    own = path.parent.relative_to(places.root).as_posix() if path.is_relative_to(places.root) else "."
    folders = ["images", own if own != "." else "", ""]
    for image in images[:100]:
        for folder in folders:
            name = str(image.get("file_name"))
            if places.find(str(PurePosixPath(folder) / name)):
                return folder
    return ""


def _entries(content: _Entry, key: str, path: Path) -> list[dict[str, Any]]:
    """Return a list of the JSON, whose entries have an id."""
    items = content.get(key)
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and isinstance(item.get("id"), int | str) for item in items
    ):
        raise UserError(f"{path} is not COCO: it has no list '{key}' of entries with an id. {_CURE}.")
    return items


def _text(entry: _Entry, key: str, where: str) -> str:
    if not isinstance(entry.get(key), str) or not entry[key]:
        raise UserError(f"{where} has no {key}. {_CURE}.")
    return str(entry[key])


def _by_image(images: Sequence[_Entry], annotations: Sequence[_Entry], path: Path) -> dict[Any, list[_Entry]]:
    """Group the annotations by the id of their image."""
    refuse_repeated([str(image["id"]) for image in images], "image id", str(path))
    items_of: dict[Any, list[_Entry]] = defaultdict(list)
    known = {image["id"] for image in images}
    lost = [item for item in annotations if not isinstance(item.get("image_id"), int | str)
            or item["image_id"] not in known]  # fmt: skip
    if lost:
        raise UserError(
            f"{path}: the images of {len(lost)} annotations are not among its images (annotation {lost[0]['id']} has "
            f"image_id {lost[0].get('image_id')}). {_CURE}."
        )
    for item in annotations:
        items_of[item["image_id"]].append(item)
    return items_of


def _classes(content: _Entry, annotations: Sequence[_Entry], options: _Entry, path: Path) -> dict[Any, str]:
    """Return the class of each category that is used."""
    categories = _entries(content, "categories", path)
    refuse_repeated([str(item["id"]) for item in categories], "category id", str(path))
    names = {item["id"]: _text(item, "name", f"{path}, category {item['id']}") for item in categories}
    for item in annotations:
        if not isinstance(item.get("category_id"), int | str) or item["category_id"] not in names:
            raise UserError(
                f"{path}: annotation {item['id']} has a category that is not among the categories. {_CURE}."
            )
    used = [item["category_id"] for item in annotations]
    mapping, dropped = (options.get("map") or {}).get("class"), dropped_words(options)
    classes = map_classes([names[key] for key in used], mapping, f"{path}, categories", dropped)
    return dict(zip(used, classes, strict=True))


def _draw(
    root: Path,
    cache: Path,
    drawn: Mapping[str, tuple[_Entry, str]],
    items_of: Mapping[Any, Sequence[_Entry]],
    path: Path,
) -> None:
    """Draw the masks into the cache, unless they are there and whole; of jobs that start together, one draws."""

    def are_there() -> bool:
        with suppress(OSError, UserError):
            return set(list_checksums(cache, drawn).splitlines()) <= set(read_text(cache / _SUMS).splitlines())
        return False

    if are_there():
        return
    import_codec()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.with_name(f".{cache.name}.lock")):
        if are_there():
            return
        if (cache / _SUMS).exists():
            log.warning("%s: the masks are drawn again: one is missing, or its checksum differs.", cache)
        with folder_aside(cache) as fresh:
            for mask, (image, file) in drawn.items():
                where = f"{path}, image {image['id']}"
                size = _size(root / file, image, where)
                union = draw_outlines(items_of[image["id"]], size, where)
                (fresh / mask).write_bytes(cv2.imencode(".png", union * 255)[1].tobytes())
            (fresh / _SUMS).write_text(list_checksums(fresh, drawn))


def _size(file: Path, image: _Entry, where: str) -> tuple[int, int]:
    """Return the (height, width) that the JSON states, which must be those of the file as it is shown, upright."""
    try:
        with open_regular(file) as stream:
            height, width = upright_shape(stream)
    except (OSError, SyntaxError, ValueError, UserError, Image.DecompressionBombError) as error:
        raise unreadable(file, error) from None
    stated = (image.get("height"), image.get("width"))
    if stated != (height, width) or height * width > _MOST_PIXELS:
        raise UserError(
            f"{where} is {stated[1]} x {stated[0]} pixels in the JSON, and {width} x {height} in {file}: annotate this "
            "file, or correct the JSON."
        )
    return height, width
