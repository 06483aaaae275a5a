"""Check what a caller gives as an image, a path or an array, or as the mask of its lesion."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError


def path_of(image: Any) -> Path | None:
    """Return the path of an image; None if it is given as something else.

    Raises:
        UserError: If it is a folder.
    """
    if not isinstance(image, str | os.PathLike):
        return None
    path = Path(image)
    with suppress(OSError, ValueError):  # reading it says what is wrong with its name
        if path.is_dir():
            raise UserError("The image is a folder: give the path of one file.")
    return path


def check_image(image: Any) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB, C-contiguous.

    Args:
        image: (H, W) or (H, W, 3) uint8, grey or RGB, with levels from 0 (black) to 255 (white).

    Raises:
        UserError: If it is anything else.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(f"The image is of type {type(image).__name__}: give the path of a file, or a NumPy array.")
    if image.dtype != np.uint8:
        raise UserError(f"The image is an array of {image.dtype}: give uint8, levels from 0 (black) to 255 (white).")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or 0 in image.shape:
        raise UserError(f"The image is an array of shape {image.shape}: give (H, W), grey, or (H, W, 3), RGB.")
    return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask as (H, W) bool.

    Args:
        mask: (H, W) bool, or uint8 with 0 outside of the lesion.
        shape: (H, W) of its image.

    Raises:
        UserError: If it is anything else, or of another size than its image.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype not in (np.bool_, np.uint8):
        kind = f"an array of {mask.dtype}" if isinstance(mask, np.ndarray) else f"of type {type(mask).__name__}"
        raise UserError(f"The mask is {kind}: give an array of bool, True in the lesion.")
    if mask.shape != shape:
        raise UserError(f"The mask is an array of shape {mask.shape}, and its image is {shape}: give the same size.")
    return mask.astype(bool)
