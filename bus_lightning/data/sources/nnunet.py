"""Read a data set of nnU-Net: `imagesTr/CASE_0000.png`, `labelsTr/CASE.png`, `dataset.json`, `splits_final.json`."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular, read_json
from bus_lightning.data.file_kinds import PICTURES
from bus_lightning.data.index import unreadable
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.class_map import dropped_words, map_classes
from bus_lightning.data.sources.pictures import list_pictures
from bus_lightning.data.sources.source_index import NO_CLASS, LayoutError, SourceIndex, make_frame, refuse_repeated
from bus_lightning.data.structure import checked

CARD = Card(
    title="nnU-Net",
    citation="Isensee F. et al. nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation. Nature Methods 18 (2021) 203-211, doi:10.1038/s41592-020-01008-z",
    licence="",
    homepage="https://github.com/MIC-DKFZ/nnUNet",
)
_CHANNEL = "_0000"
_PARTS = (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; the class of an image is that of its label, if the labels are several or `map.class` names them.

    An image whose label is background alone is normal. `parts_K` are the K folds of `splits_final.json`: their
    validation images are the test images, unless `imagesTs` has test images with labels.
    """
    path = root / "dataset.json"
    try:
        described = read_json(path, cure="Restore it, as nnU-Net describes it")
    except FileNotFoundError:
        raise LayoutError(f"{root} is not a data set of nnU-Net: expected dataset.json and imagesTr in it.") from None
    names = _label_names(described, path)
    skipped: dict[str, str] = {}
    rows, orphans, tested = list[dict[str, Any]](), list[str](), set[str]()
    for images_folder, labels_folder in _PARTS:
        if not (root / images_folder).is_dir():
            continue
        labels = list_pictures(root, labels_folder, skipped) if (root / labels_folder).is_dir() else {}
        for stem, image in list_pictures(root, images_folder, skipped).items():
            case = stem.removesuffix(_CHANNEL)
            if case == stem:
                skipped[image] = "further channels, or not named CASE_0000"
            elif case not in labels:
                skipped[image] = f"images without a label in {labels_folder}"
            else:
                rows.append({"id": case, "image": image, "masks": (labels.pop(case),)})
                tested |= {case} if images_folder == _PARTS[1][0] else set()
        orphans += labels.values()
    if not rows:
        raise UserError(
            f"{root} has no pictures CASE{_CHANNEL}.png in imagesTr with labels of the same CASE in labelsTr"
            f"{_other_ending(described)}: save them as PNG."
        )
    refuse_repeated([row["id"] for row in rows], "case", str(root))
    with ThreadPoolExecutor() as pool:
        values = list(pool.map(lambda row: _values(root, row["masks"]), rows))
    lesions = {name for name, value in names.items() if value != 0}
    mapping, dropped = (options.get("map") or {}).get("class"), dropped_words(options)
    for row, present in zip(rows, values, strict=True):
        row["class"] = _class_of(row, present, names, mapping, dropped, len(lesions) > 1, path)
    parts = _read_splits(root / "splits_final.json", [row["id"] for row in rows], tested)
    rows = [row | ({f"parts_{len(parts[row['id']])}": parts[row["id"]]} if row["id"] in parts else {}) for row in rows]
    return SourceIndex(make_frame(rows, "nnunet", str(root)), skipped, sorted(orphans))


def _label_names(described: Mapping[str, Any], path: Path) -> dict[str, int]:
    labels = described.get("labels")
    if not isinstance(labels, dict) or not all(type(value) is int for value in labels.values()):
        raise UserError(
            f"{path} has no labels such as {{background: 0, benign: 1}}: write them so; regions and the labels of "
            "nnU-Net 1 are not read."
        )
    repeated = sorted(value for value, number in Counter(labels.values()).items() if number > 1)
    if repeated:
        raise UserError(f"{path} names the label {repeated[0]} twice: leave one name.")
    return labels


def _other_ending(described: Mapping[str, Any]) -> str:
    ending = described.get("file_ending")
    return f"; its files end in {ending}" if isinstance(ending, str) and ending.lower() not in PICTURES else ""


def _values(root: Path, masks: tuple[str, ...]) -> list[int]:
    """List the values of a label image.

    Raises:
        UserError: If it cannot be read, or has several channels.
    """
    values: set[int] = set()
    for mask in masks:
        try:
            with open_regular(root / mask) as stream, Image.open(checked(stream)) as image:
                pixels = np.asarray(image)
        except (OSError, SyntaxError, ValueError, UserError, Image.DecompressionBombError) as error:
            raise unreadable(root / mask, error) from None
        if pixels.ndim != 2:
            raise UserError(
                f"{root / mask} has {pixels.shape[-1]} channels: a label has one, with 0, 1, 2. Save it so."
            )
        values |= set(np.unique(pixels).tolist())
    return sorted(values)


def _class_of(
    row: Mapping[str, Any],
    values: list[int],
    names: Mapping[str, int],
    mapping: Any,
    dropped: set[str],
    has_classes: bool,
    path: Path,
) -> str:
    named = {value: name for name, value in names.items()}
    if unknown := [value for value in values if value not in named]:
        raise UserError(f"The label of {row['id']} has the value {unknown[0]}, which {path} does not name: add it.")
    present = [named[value] for value in values if value != 0]
    if not present:
        return HEALTHY if has_classes or mapping else NO_CLASS
    if not (has_classes or mapping):
        return NO_CLASS
    classes = sorted(set(map_classes(present, mapping, f"{path}, labels", dropped)))
    if len(classes) > 1:
        raise UserError(
            f"The label of {row['id']} has lesions of the classes {' and '.join(classes)}: map them to one class with "
            "data.map.class, or leave the image out with data.exclude=FILE.csv."
        )
    return classes[0]


def _read_splits(path: Path, ids: list[str], tested: set[str]) -> dict[str, tuple[str, ...]]:
    """Read the part of each image in each fold; empty without the file."""
    if not path.exists():
        return {}
    folds = read_json(path, list, cure="Restore it, or remove it")
    parts: dict[str, list[str]] = {id_: [] for id_ in ids}
    for number, fold in enumerate(folds):
        try:
            trained, held_out = set(fold["train"]), set(fold["val"])
            shared = sorted(trained & held_out)
        except (KeyError, TypeError):
            raise UserError(f"{path}: fold {number} has no lists train and val: correct it, or remove it.") from None
        if shared:
            raise UserError(f"{path}: fold {number} names {shared[0]} both in train and in val: correct it.")
        for id_ in ids:
            if id_ in tested:
                parts[id_].append("test")
            elif id_ in held_out:
                parts[id_].append("val" if tested else "test")
            elif id_ in trained:
                parts[id_].append("train")
            else:
                raise UserError(f"{path}: fold {number} names {id_} neither in train nor in val: correct it.")
    return {id_: tuple(names) for id_, names in parts.items()}
