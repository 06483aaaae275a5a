"""Read COCO: a JSON with polygons or run lengths, and a folder of images; also COCO-VID, whose videos stay whole."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum, folder_aside
from bus_lightning.core.reading import read_json
from bus_lightning.core.workarounds import decode_run_lengths
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.class_map import map_classes
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame, refuse_repeated

CARD = Card(
    title="COCO",
    citation="Lin T.-Y. et al. Microsoft COCO: common objects in context. ECCV 2014, doi:10.1007/978-3-319-10602-1_48",
    licence="",
    homepage="https://cocodataset.org",
)
_FOLDERS = ("images", "")
_MOST_PIXELS = 100_000_000
_DIGITS = 16  # of the JSON's hash


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; the class of an image is the category of its annotations, and an image without any is normal.

    The masks are decoded once, as PNG, into the folder `cache`.

    Args:
        root: The folder.
        options: `annotations` (the JSON; default: the only one below the root), `images` (folder below the root),
            `map` and `cache`.
    """
    path = _find_json(root, options.get("annotations"))
    content = read_json(path)
    images, annotations, categories = (_list(content, key, path) for key in ("images", "annotations", "categories"))
    names = {item["id"]: str(item["name"]) for item in categories}
    refuse_repeated([str(image["id"]) for image in images], "image id", str(path))
    masks_of: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for item in annotations:
        if item.get("category_id") not in names:
            raise UserError(f"{path}: annotation {item.get('id')} has a category that is not among the categories.")
        masks_of[item.get("image_id")].append(item)
    known = {image["id"] for image in images}
    if lost := [key for key in masks_of if key not in known]:
        raise UserError(f"{path}: {len(lost)} annotated images are not among its images (image_id {lost[0]}).")
    mapping = (options.get("map") or {}).get("class")
    folder = options.get("images") or next(name for name in _FOLDERS if (root / name).is_dir())
    cache = Path(options.get("cache") or "data/cache").absolute() / f"coco-{checksum(path)[:_DIGITS]}"
    rows, missing = [], []
    for image in images:
        file = f"{folder}/{image['file_name']}" if folder else str(image["file_name"])
        id_ = str(Path(image["file_name"]).with_suffix(""))
        if not (root / file).is_file():
            missing.append(id_)
            continue
        classes = sorted(set(map_classes([names[item["category_id"]] for item in masks_of[image["id"]]], mapping,
                                         f"{path}, categories")))  # fmt: skip
        if len(classes) > 1:
            raise UserError(
                f"{path}: {image['file_name']} has annotations of the classes {' and '.join(classes)}: map them to one "
                "with data.map.class, or leave the image out with data.exclude=FILE.csv."
            )
        masks = (str(cache / f"{image['id']}.png"),) if masks_of[image["id"]] else ()
        rows.append({
            "id": id_, "image": file, "masks": masks, "class": classes[0] if classes else HEALTHY,
            "patient": f"video {image['video_id']}" if "video_id" in image else "",
        })  # fmt: skip
    if missing and not rows:
        raise UserError(f"{root}: none of the {len(missing)} images of {path.name} is in it: set data.images=FOLDER.")
    if not cache.is_dir():
        with folder_aside(cache) as fresh:
            for image in images:
                if items := masks_of[image["id"]]:
                    cv2.imwrite(str(fresh / f"{image['id']}.png"), _draw(items, image, path) * 255)
    return SourceIndex(make_frame(rows, "coco", str(path)), missing=missing)


def _find_json(root: Path, named: str | None) -> Path:
    if named:
        return root / named
    files = [file for file in sorted(root.rglob("*.json")) if file.is_file()]
    if len(files) != 1:
        listed = ", ".join(file.relative_to(root).as_posix() for file in files[:5]) or "none"
        raise LayoutError(f"{root}: expected one JSON of annotations, it has {listed}: set data.annotations=FILE.json.")
    return files[0]


def _list(content: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    items = content.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) and "id" in item for item in items):
        raise UserError(f"{path} is not COCO: it has no list '{key}' of entries with an id.")
    return items


def _draw(items: Sequence[Mapping[str, Any]], image: Mapping[str, Any], path: Path) -> np.ndarray:
    """Unite the annotations of an image, (H, W) uint8 in {0, 1}.

    Raises:
        UserError: If pycocotools is missing, or the annotations do not fit the image's size.
    """
    try:
        from pycocotools import mask as codec
    except ModuleNotFoundError:
        raise UserError("data=coco needs pycocotools, which is not installed: pip install -e '.[coco]'") from None
    height, width = int(image["height"]), int(image["width"])
    if not 0 < height * width <= _MOST_PIXELS:
        raise UserError(f"{path}: {image['file_name']} has a size of {width} x {height}: correct it.")
    union = np.zeros((height, width), np.uint8)
    for item in items:
        outline = item.get("segmentation")
        where = f"{path}: annotation {item['id']} of {image['file_name']}"
        if isinstance(outline, dict) and list(outline.get("size", [])) != [height, width]:
            raise UserError(f"{where} has another size than its image, {width} x {height}.")
        try:
            if isinstance(outline, dict) and isinstance(outline.get("counts"), str):
                codes = [outline]
            else:
                codes = codec.frPyObjects(outline if isinstance(outline, list) else [outline], height, width)
            union |= decode_run_lengths(codec.merge(codes))
        except Exception as error:  # it raises anything, from TypeError to a bare Exception
            raise UserError(f"{where} has no polygon or run lengths that can be decoded ({error}).") from None
    return union
