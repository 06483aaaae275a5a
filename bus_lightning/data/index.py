"""A folder in BUSI's layout becomes a data frame, a row per image; and the only reader of image files."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from bus_lightning.errors import UserError

DEFAULT_ROOT = Path("data/Dataset_BUSI_with_GT")
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
    found = sorted({image.partition("/")[0] for image in images})
    if not found:
        raise UserError(f"{root} holds no images: expected <class>/<name>.png and <name>_mask.png below it.")
    classes = list(classes) if classes else found
    for name in classes:
        if name not in found:
            raise UserError(f"data.classes: no images of class '{name}' in {root}; it has {', '.join(found)}.")
    rows = [
        {"id": id_, "class": (name := id_.partition("/")[0]), "label": classes.index(name), "image": file,
         "masks": masks.get(id_, ())}
        for id_, file in sorted(images.items())
        if id_.partition("/")[0] in classes
    ]  # fmt: skip
    return pd.DataFrame(rows)


def orphan_masks(root: Path) -> list[str]:
    """List the mask files that belong to no image, as paths below the root."""
    images, masks = _files(root)
    return sorted(file for id_, files in masks.items() if id_ not in images for file in files)


def _files(root: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Part the PNG files of a folder into images and masks, both keyed by the image's id."""
    images: dict[str, str] = {}
    masks: dict[str, tuple[str, ...]] = {}
    for path in sorted(root.glob("*/*"), key=lambda path: path.relative_to(root).as_posix()):
        file = path.relative_to(root).as_posix()
        is_hidden = any(part.startswith(".") for part in file.split("/"))
        if path.suffix.lower() != ".png" or is_hidden or path.is_dir():
            continue
        id_ = file[: -len(path.suffix)]
        if mask := _MASK.fullmatch(id_):
            masks[mask["image"]] = (*masks.get(mask["image"], ()), file)
        else:
            images[id_] = file
    return images, masks


def content_hash(root: Path, frame: pd.DataFrame) -> str:
    """Hash the ids and the bytes of all files of an index; where the folder lies does not matter."""
    digest = hashlib.sha256()
    for row in frame.itertuples(index=False):
        for file in (row.image, *row.masks):
            try:
                with (root / file).open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:  # a dangling link, no permission: whoever decodes the file reports it
                found = "unreadable"
            digest.update(f"{file}\0{found}\n".encode())
    return digest.hexdigest()


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
