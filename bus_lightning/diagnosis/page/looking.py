"""Look at one file for one visitor: read it, diagnose its first picture, keep what the page needs of it."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.data.resizing import resize
from bus_lightning.diagnosis.diagnosing import Diagnoser, Diagnosis
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.reading import count_frames, fingerprint, read_frames

SIDE = 1000  # of the picture that is kept, at most, in pixels; the answer comes from the whole one


@dataclass(frozen=True, eq=False)
class Shown:
    """What a visitor sees: a picture and its answer. It knows nothing of the file's own name.

    Attributes:
        name: First 12 hex digits of the SHA-256 of the file's content.
        image: (h, w, 3) uint8 RGB, made smaller where it is large.
        diagnosis: The answer; `mask` and `heat_map` fit `image`, `measurements` are of the whole picture.
        shape: (H, W) of the whole picture.
        spacing_mm: Height and width of its pixels, where known.
        frames: How many pictures the file has, where it may have several.
        made_with: The bundle's id and the precision.
    """

    name: str
    image: np.ndarray
    diagnosis: Diagnosis
    shape: tuple[int, int]
    spacing_mm: tuple[float, float] | None
    frames: int | None
    made_with: str


def look(diagnoser: Diagnoser, path: Path, limits: Limits) -> Shown:
    """Diagnose the first picture of a file.

    Raises:
        UserError: In one line without the file's name, when it cannot be read or answered.
    """
    try:
        with closing(read_frames(path, limits, diagnoser.bundle.scale)) as frames:  # type: ignore[type-var]
            frame = next(frames)
        several = None if frame.number is None else count_frames(path, limits)
        name = fingerprint(path)
        diagnosis = diagnoser.diagnose([frame])[0]
    except UserError:
        raise
    except MemoryError:
        raise UserError("There is too little memory for it: make the picture smaller.") from None
    except Exception as error:  # what a library says may quote the file's header
        raise UserError(f"It could not be looked at ({type(error).__name__}): save it as a PNG of 8 bits.") from None
    return _shrunk(name, frame, diagnosis, several, f"bundle {diagnoser.bundle.id}, {diagnoser.precision}")


def _shrunk(name: str, frame: Frame, diagnosis: Diagnosis, frames: int | None, made_with: str) -> Shown:
    height, width = frame.image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))

    def fit(array: np.ndarray) -> np.ndarray:
        return array if scale == 1 else resize(array, size)

    heat = None if diagnosis.heat_map is None else fit(diagnosis.heat_map)
    mask = fit(diagnosis.mask.astype(np.uint8) * 255) >= 128
    kept = replace(diagnosis, mask=mask, heat_map=heat)
    return Shown(name, fit(frame.image), kept, (height, width), frame.spacing_mm, frames, made_with)
