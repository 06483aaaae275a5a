"""Mistakes of careless pipelines, only to measure how much they improve scores."""

import cv2
import numpy as np
import pandas as pd

from bus_lightning.core.errors import UserError

FLIPS = {"horizontal": 1, "vertical": 0, "both": -1}  # codes of cv2.flip
MISTAKES = ("flipped_copies", "mask_files")


def with_mistake(frame: pd.DataFrame, mistake: str | None) -> pd.DataFrame:
    """Add the rows that a mistake brings into an index.

    Args:
        frame: The index.
        mistake: `flipped_copies`: each image mirrored in three ways, before training and validation are separated;
            `mask_files`: each mask file used as an image of its class, as a search for `*.png` does; None adds none.

    Returns:
        The index with two more columns: `source`, the id of the original image, and `flip`, how a row is mirrored
        (empty: not).

    Raises:
        UserError: If the mistake is unknown, or masks lie in other folders than that of a single data set.
    """
    frame = frame.assign(source=frame["id"], flip="")
    if mistake is None:
        return frame
    if mistake == "flipped_copies":
        more = [frame.assign(id=frame["id"] + f"~{flip}", flip=flip) for flip in FLIPS]
    elif mistake == "mask_files":
        files = frame.assign(image=frame["masks"]).explode("image").dropna(subset="image")
        if files["image"].str.startswith("/").any():  # no id begins so
            raise UserError(
                "data.mistake=mask_files takes a single data set whose masks lie in its folder: name one, without "
                "data.test, and not data=coco."
            )
        more = [files.assign(id=files["image"].str.removesuffix(".png"))]
    else:
        raise UserError(f"data.mistake={mistake} is unknown: choose one of {', '.join(MISTAKES)}, null.")
    return pd.concat([frame, *more]).sort_values("id", ignore_index=True)


def original_of(id_: str) -> str:
    """Return the id of the image that a mirrored copy shows; every other id as it is, also one with a `~` in it."""
    original, _, flip = id_.rpartition("~")
    return original if flip in FLIPS else id_


def mirrored(array: np.ndarray, flip: str) -> np.ndarray:
    """Mirror an image (H, W[, C]) by the `flip` of its row."""
    return np.ascontiguousarray(cv2.flip(array, FLIPS[flip])) if flip else array
