"""Read MP4, MOV and AVI files, one image at a time."""

import os
from collections.abc import Iterator
from io import BufferedReader

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent; OpenCV reads it when it opens the first video
# A file with more streams cannot be opened; clips have one, perhaps also sound, subtitles and time codes.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "max_streams;16")

import cv2
import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import Frame, Frames, Limits, damaged, decoding
from bus_lightning.diagnosis.structure_video import check_length

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # an error reports a file that fails
_MISSING = 0.02  # share of the announced images that an intact file may lack, for example because of an edit list


def read_video(stream: BufferedReader, limits: Limits) -> Frames:
    """Read the images of a video.

    OpenCV gets the descriptor of the open file instead of its name, which it might print. (OpenCV can read from Python
    streams, but crashes on damaged ones.)

    Raises:
        UserError: When nothing can be decoded, or the file is too large or shorter than it says; after the last image,
            when images are missing.
    """
    check_length(stream)
    with decoding("video"):
        capture = cv2.VideoCapture(f"/dev/fd/{stream.fileno()}", cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not capture.isOpened():
            raise UserError(
                "The video cannot be decoded because it is cut off, damaged or encrypted: save it as MP4 (H.264)."
            )
        limits.check_size(int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        number = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        limits.check_number(number)
    return number, _frames(capture, number, limits)


def _frames(capture: cv2.VideoCapture, announced: int, limits: Limits) -> Iterator[Frame]:
    number = 0
    try:
        while (image := _next_image(capture, limits)) is not None:
            yield Frame(image, number)
            number += 1
            limits.check_number(number)
    finally:
        capture.release()
    if not number:
        raise damaged("video")
    if number < announced * (1 - _MISSING) - 1:
        raise UserError(f"The video is cut off or damaged after image {number} of {announced}: export it again.")


def _next_image(capture: cv2.VideoCapture, limits: Limits) -> np.ndarray | None:
    with decoding("video"):
        is_read, image = capture.read()
        if not is_read:
            return None
        limits.check_size(image.shape[1], image.shape[0])
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
