"""A folder in BUSI's layout becomes a data frame, a row per image; and the only reader of image files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from bus_lightning.errors import UserError

DEFAULT_ROOT = Path("data/Dataset_BUSI_with_GT")
COUNTS_IN_BUSI = {"benign": 437, "malignant": 210, "normal": 133}  # images
_MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?")


class MaskSizeError(UserError):
    """A mask has another size than its image."""


def find_root(root: str | Path | None) -> Path:
    """Find the data folder: the one given, else `BUSI_ROOT`, else `data/Dataset_BUSI_with_GT`.

    Raises:
        UserError: When there is no folder there.
    """
    named = root or os.environ.get("BUSI_ROOT")
    found = Path(named or DEFAULT_ROOT).expanduser()
    if not found.is_dir():
        origin = "data.root" if root else "BUSI_ROOT" if named else "the default place"
        raise UserError(
            f"No data folder at {found} ({origin}). Run `make data`, set data.root=FOLDER or BUSI_ROOT, "
            "or try the built-in phantoms with data=phantom."
        )
    return found


def read_index(root: Path, classes: list[str] | None = None) -> pd.DataFrame:
    """List the images of a folder in BUSI's layout, `<class>/<name>.png` beside `<name>_mask[_N].png`.

    Args:
        root: Folder with one folder per class.
        classes: Which classes, in the order of their labels; None takes every folder, sorted by name.

    Returns:
        A row per image, sorted by id, with the columns `id` (path below the root without ending), `class`, `label`
        (position of the class), `image` (path below the root) and `masks` (tuple of paths below the root).

    Raises:
        UserError: When a class has no folder or no images, or the folder holds no images at all.
    """
    images, masks = _files(root)
    if not images:
        raise UserError(f"{root} holds no images: expected <class>/<name>.png and <name>_mask.png below it.")
    ids = sorted(images)
    frame = pd.DataFrame(
        {
            "id": ids,
            "class": [id_.partition("/")[0] for id_ in ids],
            "image": [images[id_] for id_ in ids],
            "masks": [masks.get(id_, ()) for id_ in ids],
        }
    )
    return select_classes(frame, classes or sorted(frame["class"].unique()), root)


def select_classes(frame: pd.DataFrame, classes: list[str], root: Path) -> pd.DataFrame:
    """Keep the images of the named classes of an index, labelled in the order of the names.

    Raises:
        UserError: When a class has no images.
    """
    found = sorted(frame["class"].unique())
    for name in classes:
        if name not in found:
            raise UserError(f"data.classes: no images of class '{name}' in {root}; it has {', '.join(found)}.")
    chosen = frame[frame["class"].isin(classes)].reset_index(drop=True)
    return chosen.assign(label=chosen["class"].map(classes.index))[["id", "class", "label", "image", "masks"]]


def orphan_masks(root: Path) -> list[str]:
    """List the mask files that belong to no image, as paths below the root."""
    images, masks = _files(root)
    return sorted(file for id_, files in masks.items() if id_ not in images for file in files)


def _files(root: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Part the PNG files of a folder into images and masks, both keyed by the image's id."""
    images: dict[str, str] = {}
    masks: dict[str, tuple[str, ...]] = {}
    for file in sorted(_png_files(root)):
        id_ = file[: -len(".png")]
        if mask := _MASK.fullmatch(id_):
            masks[mask["image"]] = (*masks.get(mask["image"], ()), file)
        else:
            images[id_] = file
    return images, masks


def _png_files(root: Path) -> Iterator[str]:
    """List the PNG files below the folders of a data folder; hidden ones are left out."""
    for folder in os.scandir(root):
        if folder.is_dir() and not folder.name.startswith("."):
            for file in os.scandir(folder):
                if file.name.lower().endswith(".png") and not file.name.startswith(".") and not file.is_dir():
                    yield f"{folder.name}/{file.name}"


def read_image(path: Path) -> np.ndarray:
    """Decode an image file, whatever its colour mode; an alpha channel is ignored.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UserError: When the file is missing, empty, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
                levels = np.array(image)
                levels = levels >> 8 if levels.max() > 255 else levels
                return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # `strerror`, for the message itself names the path once more.
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        if isinstance(error, UnidentifiedImageError):
            reason = "is no image" if path.stat().st_size else "is empty (0 bytes)"
        raise UserError(f"{path} {reason}. Get the file anew, or pass data.skip_unreadable=true.") from error


def read_mask(root: Path, files: tuple[str, ...], shape: tuple[int, int]) -> np.ndarray:
    """Unite the masks of one image.

    Args:
        root: The data folder.
        files: Mask files below the root; none gives an empty mask.
        shape: (H, W) of the image.

    Returns:
        (H, W) uint8 in {0, 1}.

    Raises:
        MaskSizeError: When a mask has another size than its image.
        UserError: When a mask cannot be read.
    """
    union = np.zeros(shape, np.uint8)
    for file in files:
        # The brightest channel against half of its own maximum: right for 0/1 and 0/255, in grey or in colour.
        mask = read_image(root / file).max(axis=2)
        if mask.shape != shape:
            (height, width), (mask_height, mask_width) = shape, mask.shape
            raise MaskSizeError(
                f"{root / file} is {mask_width}x{mask_height} pixels but its image {width}x{height}. "
                "Mend the mask, or leave the image out with data.exclude=FILE.csv."
            )
        union |= mask > mask.max() / 2
    return union
