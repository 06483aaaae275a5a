"""Decode one image of a data folder and its masks once, and collect everything that an audit needs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.data.duplicates import Fingerprint, fingerprint
from bus_lightning.data.index import look_at_mask, read_image
from bus_lightning.data.mask_files import Likeness, likeness

_COLOR_SPREAD, _COLOR_PIXELS = 5, 20  # grey levels between channels, pixels: BUSI has 16 such images, the rest none


@dataclass(frozen=True)
class Look:
    """What decoding one image and its masks shows.

    Attributes:
        broken: File -> why it cannot be used.
        print: Fingerprint of the image; None if it cannot be read.
        colored: Whether the image has coloured marks.
        lesion: Whether a mask has lesion pixels.
        likeness: How much the image looks like a mask; None if it cannot be read.
        rules: Mask file -> the rule by which it was read; only masks that are not plain.
        resized: Masks with the proportions of the image but another size.
    """

    broken: dict[str, UserError]
    print: Fingerprint | None = None
    colored: bool = False
    lesion: bool = False
    likeness: Likeness | None = None
    rules: dict[str, str] = field(default_factory=dict)
    resized: tuple[str, ...] = ()


def look_at(root: Path, row: Any) -> Look:
    """Decode one image and all of its masks, so that every broken file is named.

    Args:
        root: The data folder.
        row: Row of its index, with `image` and `masks`.
    """
    broken: dict[str, UserError] = {}
    rules: dict[str, str] = {}
    resized: list[str] = []
    image, lesion = None, False
    try:
        image = read_image(root / row.image)
    except UserError as error:
        broken[row.image] = error
    for file in row.masks:
        try:
            mask, rule, scaled = look_at_mask(root / file, image.shape[:2] if image is not None else None)
            lesion = lesion or bool(mask.any())
            rules |= {file: rule} if rule else {}
            resized += [file] if scaled else []
        except UserError as error:
            broken[file] = error
    if image is None:
        return Look(broken)
    colored = bool((np.ptp(image, axis=2) > _COLOR_SPREAD).sum() > _COLOR_PIXELS)
    return Look(broken, fingerprint(image), colored, lesion, likeness(image), rules, tuple(resized))
