"""Answer images in Python, as the commands do."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.data.drawing import draw_overlay
from bus_lightning.data.given_arrays import check_image, path_of
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser, Diagnosis
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.options import DECODE_MB, DECODE_SECONDS


@dataclass(frozen=True, repr=False)
class Answer(Diagnosis):
    """A diagnosis with its image."""

    image: np.ndarray  # (H, W, 3) uint8 RGB

    def overlay(self) -> np.ndarray:
        """Return a copy of the image with the outline and the heat map, as the commands draw it, (H, W, 3) uint8."""
        return draw_overlay(self.image, self.mask, self.heat_map)

    def __repr__(self) -> str:
        doubts = [doubt.code for doubt in self.doubts]
        return f"Answer(answer={self.answer!r}, probabilities={self.probabilities}, doubts={doubts})"


class Answerer:
    """A loaded bundle; several threads may use it at once.

    Files are read in another process, which starts with the first file and ends when the bundle is no longer used; each
    file of several images that is not yet read to its end has a process of its own.

    Args:
        path: The folder of the bundle.
        precision: fp32, bf16 or int8; None for the default of the bundle.
        threads: CPU threads; None for all.
        decode_mb: Memory of a decoding process, in MB, at least 1; None for 400.
        decode_seconds: Time for a file's header, and for each of its images, above 0; None for 10.

    Attributes:
        bundle: Its content: classes, threshold, model card.

    Raises:
        UserError: If the folder is no bundle, damaged, or without this precision, or a number is too small.
    """

    def __init__(
        self,
        path: Path,
        precision: str | None = None,
        threads: int | None = None,
        decode_mb: int | None = None,
        decode_seconds: float | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UserError(f"threads={threads}: give a number of at least 1, or None for all.")
        memory = DECODE_MB if decode_mb is None else decode_mb
        seconds = DECODE_SECONDS if decode_seconds is None else decode_seconds
        if memory < 1 or not seconds > 0:
            raise UserError(
                f"decode_mb={memory}, decode_seconds={seconds}: give at least 1 MB, and more than 0 seconds."
            )
        self._limits = memory, seconds
        self.bundle = load_bundle(path)
        self._diagnoser = Diagnoser(self.bundle, precision, threads)
        self._started: list[Decoders] = []  # each reads one file at a time
        self._idle: list[Decoders] = []
        self._turn = threading.Lock()  # threads that answer single images share a process
        weakref.finalize(self, _close, self._started)  # also at the end of this process

    @contextmanager
    def _decoders(self) -> Iterator[Decoders]:
        """Lend decoders that read no other file: one that waits for the end of another may wait for ever."""
        try:
            decoders = self._idle.pop()
        except IndexError:
            decoders = Decoders(1, *self._limits)
            self._started.append(decoders)
        try:
            yield decoders
        finally:
            self._idle.append(decoders)

    def answer(self, image: np.ndarray | Path | str, heat_map: bool = True) -> Answer:
        """Answer one image.

        Args:
            image: Path of a picture or DICOM file with one image, or (H, W) or (H, W, 3) uint8, grey or RGB. An array
                states no pixel size, so its lesions are measured in pixels only.
            heat_map: Whether to compute the heat map.

        Raises:
            UserError: If the file or the array cannot be used, or the file has several images.
        """
        if (path := path_of(image)) is not None:
            with self._turn, self._decoders() as decoders:
                number, frames = decoders.read(path, scale=self.bundle.scale)
                with closing(frames):
                    if number != 1:
                        count = number or "several"  # the header of a video may not tell
                        raise UserError(f"The file has {count} images: use answers(path), which answers each of them.")
                    return self._answer(next(frames), heat_map)
        pixels = check_image(image)
        Limits().check_size(pixels.shape[1], pixels.shape[0])
        return self._answer(Frame(pixels), heat_map)

    def answers(self, path: Path | str, heat_map: bool = True) -> Iterator[Answer]:
        """Answer the images of a file one after another: of a video, a DICOM clip, a TIFF of several pages.

        Raises:
            UserError: If the file cannot be used.
        """
        if (file := path_of(path)) is None:
            raise UserError(f"The file is of type {type(path).__name__}: give its path, or an image to answer(image).")
        with self._decoders() as decoders:
            _, frames = decoders.read(file, scale=self.bundle.scale)
            with closing(frames):
                for frame in frames:
                    yield self._answer(frame, heat_map)

    def _answer(self, frame: Frame, heat_map: bool) -> Answer:
        (diagnosis,) = self._diagnoser.diagnose([frame], heat_map)
        return Answer(**vars(diagnosis), image=frame.image)


def _close(started: list[Decoders]) -> None:
    for decoders in started:
        decoders.close()
