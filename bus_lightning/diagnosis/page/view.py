"""What one visitor sees: the first image of a file and its diagnosis."""

import threading
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.data.resizing import resize
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser, Diagnosis
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.pipeline import failure_line
from bus_lightning.diagnosis.reading import fingerprint

SIDE = 1000  # longest side of the image that is kept, in pixels; the diagnosis is of the full image


@dataclass(frozen=True, eq=False)
class View:
    """An image and its diagnosis, without the file's name."""

    name: str  # first 12 hex digits of the SHA-256 of the file's content
    image: np.ndarray  # (h, w, 3) uint8 RGB, shrunk if it is large
    diagnosis: Diagnosis  # mask and heat map fit `image`; the measurements are of the full image
    shape: tuple[int, int]  # (H, W) of the full image
    spacing_mm: tuple[float, float] | None  # height and width of its pixels, if known
    frames: int | None  # number of images in the file, if it may have several; 0 if its header does not tell
    made_with: str  # the bundle's id and the precision


def make_view(
    diagnoser: Diagnoser, decoders: Decoders, path: Path, limits: Limits, stop: threading.Event | None = None
) -> View:
    """Diagnose the first image of a file; `stop` ends the reading when it is set.

    Raises:
        UserError: In one line without the file's name, when it cannot be read or diagnosed.
    """
    try:
        name = fingerprint(path, limits)
        images, frames = decoders.read(path, limits, diagnoser.bundle.scale, stop)
        with closing(frames):  # also while it is diagnosed: only one large image is given at a time
            frame = next(frames)
            height, width = frame.image.shape[:2]
            scale = min(1.0, SIDE / max(height, width))
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            diagnosis = _fit(diagnoser.diagnose([frame])[0], size)
    except Exception as error:
        raise UserError(failure_line(error, "diagnosed")) from None
    made_with = f"bundle {diagnoser.bundle.id}, {diagnoser.precision}"
    number = None if frame.number is None else images
    return View(name, resize(frame.image, size), diagnosis, (height, width), frame.spacing_mm, number, made_with)


def _fit(diagnosis: Diagnosis, size: tuple[int, int]) -> Diagnosis:
    """Resize the mask and the heat map to (height, width)."""
    full_mask = diagnosis.mask
    mask = None if full_mask is None else resize(full_mask.view(np.uint8) * np.uint8(255), size) >= 128
    heat = None if diagnosis.heat_map is None else resize(diagnosis.heat_map, size)
    return replace(diagnosis, mask=mask, heat_map=heat)
