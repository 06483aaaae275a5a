"""Every source takes PNG, JPEG, BMP and TIFF, whatever the case of the extension, and masks of 8 and 16 bits."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_lightning.data.audit import audit_folder
from bus_lightning.data.measures import tabulate_measures
from bus_lightning.data.sources.registry import read_sets

SIDE, LESION = 48, 20 * 20
IMAGES = (".PNG", ".jpg", ".JPEG", ".Bmp", ".TIF", ".tiff")
MASKS = (".TIF", ".bmp", ".PNG", ".tiff", ".png", ".BMP")


def save(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


def image_of(seed: int, deep: bool) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 200, (SIDE, SIDE))
    return (levels * 257).astype(np.uint16) if deep else levels.astype(np.uint8)


def mask_of(top: int, kind: type) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), kind)
    mask[10:30, 10:30] = top
    return mask


def draw(root: Path, images: str, masks: str, channel: str = "", top: int | None = None) -> list[tuple[str, str]]:
    """Draw an image and a mask of each kind; every second PNG or TIFF has 16 bits."""
    names = []
    for number, (kind, mask) in enumerate(zip(IMAGES, MASKS, strict=True)):
        names.append((f"{images}/case{number}{channel}{kind}", f"{masks}/case{number}{mask}"))
        save(root / names[-1][0], image_of(number, kind in (".PNG", ".tiff")))
        deep = mask in (".TIF", ".png")
        save(root / names[-1][1], mask_of(top or (65535 if deep else 255), np.uint16 if deep else np.uint8))
    return names


def make_images_masks(root: Path) -> dict[str, object]:
    draw(root, "images", "masks")
    return {"source": "images_masks"}


def make_table(root: Path) -> dict[str, object]:
    rows = [f"{image},{mask},{'ab'[number % 2]}" for number, (image, mask) in enumerate(draw(root, "i", "m"))]
    (root / "table.csv").write_text("\n".join(["file,outline,kind", *rows]))
    columns = {"image": "file", "mask": "outline", "class": "kind"}
    return {"source": "table", "table": str(root / "table.csv"), "columns": columns}


def make_nnunet(root: Path) -> dict[str, object]:
    draw(root, "imagesTr", "labelsTr", "_0000", top=1)
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "lesion": 1}}))
    return {"source": "nnunet"}


def make_coco(root: Path) -> dict[str, object]:
    pytest.importorskip("pycocotools")
    names = [Path(image).name for image, _ in draw(root, "images", "unused")]
    outline = [[10, 10, 30, 10, 30, 30, 10, 30]]
    content = {
        "images": [{"id": i, "file_name": name, "width": SIDE, "height": SIDE} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "segmentation": outline} for i in range(len(names))],
        "categories": [{"id": 1, "name": "benign"}],
    }
    (root / "annotations.json").write_text(json.dumps(content))
    return {"source": "coco"}


def make_folder(root: Path) -> dict[str, object]:
    for image, mask in draw(root, "benign", "unused"):
        stem = Path(image).stem
        (root / mask).rename(root / "benign" / f"{stem}_mask{Path(mask).suffix}")
    (root / "unused").rmdir()
    return {"source": "folder"}


@pytest.mark.parametrize("make", [make_folder, make_images_masks, make_table, make_nnunet, make_coco])
def test_every_picture_and_every_mask_is_read(tmp_path: Path, make):
    (dataset,) = read_sets({"sets": {"one": make(tmp_path / "set")}, "root": tmp_path / "set",
                            "cache": tmp_path / "cache"})  # fmt: skip
    assert len(dataset.index.frame) == len(IMAGES)
    audit = audit_folder(dataset.root, dataset.index, progress=False)
    assert audit.broken == {}
    assert tabulate_measures(audit.groups, audit.measures)["lesion"].tolist() == [LESION] * len(IMAGES)
