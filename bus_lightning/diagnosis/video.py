"""Read MP4, MOV and AVI, one picture at a time."""

import os
from collections.abc import Iterator
from io import BufferedReader

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent; read when the first video is opened

import cv2
import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import Frame, Limits, check_number, check_size, damaged, decoding

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a file that fails is told by an error
_MISSING = 0.02  # part of the pictures that a whole file may announce and not show, as of an edit list


def read_video(stream: BufferedReader, limits: Limits) -> tuple[int, Iterator[Frame]]:
    """Read the pictures of a video.

    OpenCV gets the descriptor of the open file in place of its name, which it might print. (It takes streams too, but
    its reader of streams crashes on damaged files.)

    Args:
        stream: The file, open at its start.
        limits: What is read at most.

    Returns:
        Number of pictures that the header announces, and an iterator that decodes one after another.

    Raises:
        UserError: When nothing can be decoded, or the file is too large; after the last picture, when it is cut off.
    """
    with decoding("video"):
        capture = cv2.VideoCapture(f"/dev/fd/{stream.fileno()}", cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not capture.isOpened():
            raise UserError("The video cannot be decoded, it is cut off, damaged or encrypted: save it as MP4 (H.264).")
        check_size(int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), limits)
        number = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        check_number(number, limits)
    return number, _frames(capture, number, limits)


def _frames(capture: cv2.VideoCapture, announced: int, limits: Limits) -> Iterator[Frame]:
    number = 0
    try:
        while (image := _next(capture, limits)) is not None:
            yield Frame(image, number)
            number += 1
            check_number(number, limits)
    finally:
        capture.release()
    if not number:
        raise damaged("video")
    if number < announced * (1 - _MISSING) - 1:
        raise UserError(f"The video is cut off or damaged after picture {number} of {announced}: export it anew.")


def _next(capture: cv2.VideoCapture, limits: Limits) -> np.ndarray | None:
    with decoding("video"):
        read, image = capture.read()
        if not read:
            return None
        check_size(image.shape[1], image.shape[0], limits)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
