"""Find a data folder, label the images of its index, and read images and masks."""

import os
import re
from io import BufferedReader
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.levels import OWN_SCALE, Scale, read_rgb
from bus_lightning.data.masks import decode_mask, have_same_proportions, mask_of_plain, resize_mask
from bus_lightning.data.plain_png import decode_plain_png
from bus_lightning.data.sources import folder
from bus_lightning.data.structure import checked

DEFAULT_ROOT = Path("data/Dataset_BUSI_with_GT")
_BUSI = ("busi", "folder")  # data sets with this default place
_SKIP = "pass data.skip_unreadable=true"
_UNDECODED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class MaskSizeError(UserError):
    """The proportions of a mask differ from those of its image."""


def variable_of(name: str) -> str:
    """Return the environment variable that names the folder of a data set, such as `BUS_BRA_ROOT`."""
    # No shell can set a variable with a dash or a point in its name.
    return "BUSI_ROOT" if name in _BUSI else f"{re.sub('[.-]', '_', name).upper()}_ROOT"


def find_root(root: str | Path | None, name: str = "busi", option: str = "data.root") -> Path:
    """Find the folder of a data set: the given one, else that of the variable `<NAME>_ROOT`, such as `BUS_BRA_ROOT`.

    A dash or a point in the name is `_` in that of the variable. BUSI has a default place, `data/Dataset_BUSI_with_GT`.

    Args:
        root: The given folder.
        name: Name of the data set.
        option: The option that gives the folder, for messages.

    Raises:
        UserError: If the folder does not exist.
    """
    is_busi, variable = name in _BUSI, variable_of(name)
    chosen = root or os.environ.get(variable) or (DEFAULT_ROOT if is_busi else None)
    if chosen is None:
        raise UserError(f"data={name} needs its folder: set {option}=FOLDER, or the variable {variable}.")
    place = Path(chosen).expanduser()
    if not place.is_dir():
        origin = option if root else variable if chosen != DEFAULT_ROOT else "the default place"
        get = "Run `python -m bus_lightning.data.download`, set" if is_busi else "Set"
        raise UserError(
            f"No data folder at {place} ({origin}). {get} {option}=FOLDER or {variable}, "
            "or try the built-in phantoms with data=phantom."
        )
    return place


def read_index(root: Path, classes: list[str] | None = None) -> pd.DataFrame:
    """List the images of a folder with a folder for each class, as `data=folder` does.

    Args:
        root: The folder.
        classes: Class names, in the order of their labels; None takes every folder, sorted by name.

    Returns:
        A row per image, sorted by id, with the columns of `select_classes`.

    Raises:
        UserError: If a class has no folder or no images, the folder has no images at all, or two have the same id.
    """
    frame = folder.read(root, {}).frame
    return select_classes(frame, classes or sorted(frame["class"].unique()), root)


def select_classes(frame: pd.DataFrame, classes: list[str], root: Path) -> pd.DataFrame:
    """Keep the images of the named classes of an index, labelled in the order of the names.

    Args:
        frame: The index, as a source gives it.
        classes: The names.
        root: The data folder, for messages.

    Returns:
        The rows with the columns `id`, `class`, `label` (position of the class), `image` and `masks` (path and tuple of
        paths below the root), and the others of the index.

    Raises:
        UserError: If a class has no images.
    """
    known = sorted(frame["class"].unique())
    for name in classes:
        if name not in known:
            raise UserError(f"data.classes: no images of class '{name}' in {root}; it has {', '.join(known)}.")
    chosen = frame[frame["class"].isin(classes)].reset_index(drop=True)
    labelled = chosen.assign(label=chosen["class"].map(classes.index))
    first = ["id", "class", "label", "image", "masks"]
    return labelled[[*first, *(name for name in labelled.columns if name not in first)]]


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """Return the rows of an index as named tuples; `class` becomes `class_name`, as Python reserves the word."""
    return list(frame.rename(columns={"class": "class_name"}).itertuples(index=False))


def pick_evenly(number: int, count: int) -> list[int]:
    """Choose `count` of `number` positions evenly, including the first and the last; all if there are fewer."""
    return np.linspace(0, number - 1, min(count, number)).round().astype(int).tolist()


def read_image(path: Path, scale: Scale = OWN_SCALE, otherwise: str = _SKIP) -> np.ndarray:
    """Decode an image file of any colour mode, in upright orientation; an alpha channel is ignored.

    Args:
        path: The file.
        scale: Scale for a file that does not state its bit depth; by default, the image's own.
        otherwise: What the message about a file that cannot be read names next to the file's own cure.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UserError: If the file is missing, empty, truncated, not an image, or has several images.
    """
    try:
        return _decode(path, scale)
    except (*_UNDECODED, UserError) as error:
        raise unreadable(path, error, otherwise) from error


def _decode(path: Path, scale: Scale) -> np.ndarray:
    with open_regular(path) as stream:
        if (pixels := decode_plain_png(stream)) is not None:
            return pixels if pixels.ndim == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
        with Image.open(checked(stream)) as image:
            if image.format != "MPO" and (number := getattr(image, "n_frames", 1)) > 1:
                raise UserError(f"it holds {number} pictures: save each in a separate file")
            return read_rgb(image, stream, scale)


def unreadable(path: Path, error: Exception, otherwise: str = "") -> UserError:
    """Make the error about an image that cannot be read, with its cause, one cure, and what to do otherwise."""
    problem, cure = _reason(path, error)
    return UserError(f"{path} {problem}: {cure}{otherwise and f', or {otherwise}'}.")


def _reason(path: Path, error: Exception) -> tuple[str, str]:
    """Say why an image cannot be read, in a sentence that begins with its path, and what cures the file."""
    cure = "replace the file"
    if isinstance(error, UnidentifiedImageError):
        return "is not an image" if path.stat().st_size else "is empty (0 bytes)", cure
    # `strerror`, because the message itself repeats the path.
    reason = str(getattr(error, "strerror", None) or error).rstrip(".")
    if isinstance(error, UserError) and ": " in reason:
        reason, _, cure = reason.rpartition(": ")
    return f"cannot be read: {reason}", cure


def read_mask(root: Path, files: tuple[str, ...], shape: tuple[int, int]) -> np.ndarray:
    """Unite the masks of one image; each is read by the rules of `masks`, and resized if only its size differs.

    Args:
        root: The data folder.
        files: Mask files below the root; none gives an empty mask.
        shape: (H, W) of the image.

    Returns:
        (H, W) uint8 in {0, 1}.

    Raises:
        MaskSizeError: If the proportions of a mask differ from those of its image.
        UserError: If a mask cannot be read, or it is unclear which pixels are lesion.
    """
    union = np.zeros(shape, np.uint8)
    for file in files:
        union |= read_single_mask(root / file, shape)[0]
    return union


def read_single_mask(path: Path, shape: tuple[int, int] | None) -> tuple[np.ndarray, str, bool]:
    """Read one mask of an image.

    Args:
        path: The file.
        shape: (H, W) of the image; None takes the mask's own shape.

    Returns:
        (H, W) uint8 in {0, 1}; the rule by which it was read, empty for a plain mask; whether it was resized.

    Raises:
        MaskSizeError, UserError: As `read_mask`.
    """
    try:
        with open_regular(path) as stream:
            plain = decode_plain_png(stream)
            height, width = upright_shape(stream, shape) if plain is None else plain.shape[:2]
    except (*_UNDECODED, UserError) as error:
        raise unreadable(path, error, _SKIP) from error
    if shape is not None and (height, width) != shape and not have_same_proportions(shape, (height, width)):
        raise MaskSizeError(
            f"{path} is {width}x{height} pixels but its image {shape[1]}x{shape[0]}. "
            "Fix the mask, or leave the image out with data.exclude=FILE.csv."
        )
    try:
        mask = decode_mask(path) if plain is None else mask_of_plain(plain, path)
    except _UNDECODED as error:
        raise unreadable(path, error, _SKIP) from error
    if shape is None or mask.lesion.shape == shape:
        return mask.lesion, mask.rule, False
    return resize_mask(mask.lesion, shape), mask.rule, True


def upright_shape(stream: BufferedReader, expected: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return the (H, W) of an opened picture after a check of its structure; it is turned if it is not as expected."""
    with Image.open(checked(stream)) as image:
        width, height = image.size
        if (height, width) != expected and image.format != "TIFF":  # a TIFF states its upright size
            width, height = ImageOps.exif_transpose(image).size
    return height, width


def read_predicted_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a predicted mask without the rules for ground truth, which refuse one that is bright everywhere.

    Args:
        path: PNG with 0 and 255.
        shape: (H, W) of the image.

    Returns:
        (H, W) uint8 in {0, 1}.

    Raises:
        DamagedError: If it cannot be read.
        MaskSizeError: If it has another size than its image.
    """
    try:
        mask = (_decode(path, OWN_SCALE)[..., 0] > 127).astype(np.uint8)
    except (*_UNDECODED, UserError) as error:
        cure = "Train its segmenter again with rerun=true"
        raise DamagedError(path, f"the mask {_reason(path, error)[0]}", cure=cure) from error
    if mask.shape != shape:
        raise MaskSizeError(
            f"{path} is a predicted mask whose size differs from its image's: it was made for other data. Train the "
            "segmenter again, or choose other runs with overlay.segmenters='RUNS'."
        )
    return mask
