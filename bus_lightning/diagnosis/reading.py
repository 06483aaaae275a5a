"""Read what a clinic has: pictures, DICOM and video, by their content, whole or not at all.

No message names the file or quotes its header, for both may carry a patient's name.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import (
    DICOM,
    PICTURES,
    VIDEOS,
    describe_unknown,
    is_system_file,
    kind_of,
    open_regular,
    read_head,
    recognise,
)
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.pictures import read_pictures
from bus_lightning.diagnosis.video import read_video

ENDINGS = frozenset([*PICTURES, *DICOM, *VIDEOS])
_DEFAULT = Limits()


def read_frames(path: Path, limits: Limits = _DEFAULT, scale: Scale = OWN_SCALE) -> Iterator[Frame]:
    """Read the pictures of a PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV or AVI file, one at a time.

    The content decides what a file is, not its ending. Size and number of the pictures are looked up in the header
    before anything is decoded. A pipe or a device is not opened.

    Args:
        path: The file.
        limits: What is read at most.
        scale: Scale of the training images, for a PNG or TIFF that does not state its bit depth; it is widened for a
            file with brighter levels.

    Yields:
        The pictures. `number` is None where the file has only one and is no video.

    Raises:
        UserError: In one line without the file's name, when anything is wrong with it.
    """
    with open_regular(path) as stream:
        _, frames = _start(stream, limits, scale)
        yield from frames


def count_frames(path: Path, limits: Limits = _DEFAULT) -> int | None:
    """Look up in the header how many pictures a file has, or None where it does not say; a video's may be off by one.

    Raises:
        UserError: When the header already shows that the file cannot be read.
    """
    with open_regular(path) as stream:
        return _start(stream, limits, OWN_SCALE)[0] or None


def fingerprint(path: Path, limits: Limits = _DEFAULT) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's content.

    Raises:
        UserError: In one line without the file's name, when it cannot be read, or is larger than the limit.
    """
    with open_regular(path) as stream:
        _refuse_large(stream, limits)  # hashing it would take long
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
        except OSError:
            raise UserError("The file cannot be read to its end: copy it to another disk.") from None


def find_files(paths: Sequence[Path], left_out: dict[Path, str] | None = None) -> list[Path]:
    """List what is to be read: files as they are named, folders with all that is below them.

    In a folder, files with a known extension are listed, and others whose content is a picture, DICOM or video. Hidden
    files and folders are skipped, and links to folders are not followed. A folder that cannot be read, or in which
    nothing is found, is listed itself, so that reading it gives an error.

    Args:
        paths: Files and folders.
        left_out: Filled with the other files of the folders: path -> what the file is, without its name.

    Returns:
        Each file once, in the order of `paths`, and sorted within a folder.
    """
    found: dict[Path, None] = {}
    others: dict[Path, str] = {}
    for path in paths:
        within = _search(path, others) if _is_folder(path) else []
        found.update(dict.fromkeys(within or [path]))
    if left_out is not None:
        left_out |= {path: what for path, what in others.items() if path not in found}
    return list(found)


def _search(folder: Path, others: dict[Path, str]) -> list[Path]:
    """List the files below a folder, and the folders below it that may not be read."""
    found: list[Path] = []
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = (name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if is_system_file(name):
                continue
            if what := _what_else(path):
                others[path] = what
            else:
                found.append(path)
    return sorted([*found, *(Path(error.filename) for error in closed)])


def _what_else(path: Path) -> str:
    """Say what a file of a folder is if it is not read; empty if it is read."""
    if path.suffix.lower() in ENDINGS:
        return ""
    if path.name == "DICOMDIR":
        return "an index of DICOM files"
    try:
        kind_of(path)
    except UserError as error:
        return describe_unknown(error)
    return ""


def _is_folder(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def _start(stream: BufferedReader, limits: Limits, scale: Scale) -> tuple[int, Iterator[Frame]]:
    """Choose the reader by the content, and read the header."""
    _refuse_large(stream, limits)
    kind = recognise(read_head(stream))
    stream.seek(0)
    if kind == "video":
        return read_video(stream, limits)
    if kind != "DICOM":
        return read_pictures(stream, kind, limits, scale)
    from bus_lightning.diagnosis.dicom import read_dicom  # a quarter of a second that other files need not wait

    return read_dicom(stream, limits)


def _refuse_large(stream: BufferedReader, limits: Limits) -> None:
    size = os.fstat(stream.fileno()).st_size
    if size > limits.file_bytes:
        raise UserError(
            f"The file has {size / 1e6:.0f} MB, and at most {limits.file_bytes / 1e6:g} are read: make it smaller."
        )
