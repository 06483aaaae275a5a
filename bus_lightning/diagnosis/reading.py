"""Find and read image files, DICOM and video by their content.

No message names the file or quotes its header, because both may hold a patient's name.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import is_folder
from bus_lightning.core.reading import open_regular
from bus_lightning.data.file_kinds import (
    DICOM,
    PICTURES,
    VIDEOS,
    describe_unknown,
    is_system_file,
    kind_of,
    read_head,
    recognise,
)
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.diagnosis.frames import Frame, Frames, Limits
from bus_lightning.diagnosis.image_files import read_image_file
from bus_lightning.diagnosis.video import read_video

ENDINGS = frozenset([*PICTURES, *DICOM, *VIDEOS])
_DEFAULT = Limits()


def read_frames(path: Path, limits: Limits = _DEFAULT, scale: Scale = OWN_SCALE) -> Iterator[Frame]:
    """Read the images of a PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV or AVI file, one at a time, in this process.

    It is for files that can be trusted; `Decoders` reads others. Only one thread at a time may read.

    The content decides the kind of a file, not its extension. Size and number of the images are checked in the header
    before anything is decoded. A pipe or a device is not opened. `scale`, that of the training images, is for a PNG or
    TIFF that does not state its bit depth; it is widened for a file with brighter levels.

    Raises:
        UserError: In one line without the file's name, when anything is wrong with it.
    """
    with open_regular(path) as stream:
        _, frames = read_stream(stream, limits, scale)
        yield from frames


def fingerprint(path: Path, limits: Limits = _DEFAULT) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's content.

    Raises:
        UserError: In one line without the file's name, when it cannot be read, or is larger than the limit.
    """
    with open_regular(path) as stream:
        limits.check_bytes(os.fstat(stream.fileno()).st_size)  # hashing it would take long
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
        except OSError:
            raise UserError("The file cannot be read to its end: copy it to another disk.") from None


def find_files(paths: Sequence[Path], left_out: dict[Path, str] | None = None) -> list[Path]:
    """List the files to read: each path that is a file, and the files below each path that is a folder.

    In a folder, files with a known extension are listed, and others whose content is an image, DICOM or video. Hidden
    files and folders are skipped, and links to folders are not followed. A folder that cannot be read, or in which
    nothing is found, is listed itself, so that reading it gives an error. `left_out` is filled with the other files of
    the folders: path -> kind of the file, without its name.

    Returns:
        Each file once, also if its path is written in two ways, in the order of `paths`, and sorted within a folder.
    """
    files: dict[Path, Path] = {}  # the place of a file -> its path as it was given first
    others: dict[Path, str] = {}
    for path in paths:
        for file in (_search(path, others) if is_folder(path) else []) or [path]:
            files.setdefault(_place(file), file)
    if left_out is not None:
        left_out |= {path: kind for path, kind in others.items() if _place(path) not in files}
    return list(files.values())


def _place(file: Path) -> Path:
    """Return where a file is, whichever way its path is written; a link is a file of its own."""
    with suppress(OSError, RuntimeError):  # a link that leads to itself
        return file.parent.resolve() / file.name
    return file


def _search(folder: Path, others: dict[Path, str]) -> list[Path]:
    """List the files below a folder, and the folders below it that may not be read."""
    files: list[Path] = []
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = (name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if is_system_file(name):
                continue
            if kind := _other_kind(path):
                others[path] = kind
            else:
                files.append(path)
    return sorted([*files, *(Path(error.filename) for error in closed)])


def _other_kind(path: Path) -> str:
    """Name the kind of a file that is not read; empty for a file that is read."""
    if path.suffix.lower() in ENDINGS:
        return ""
    if path.name == "DICOMDIR":
        return "an index of DICOM files"
    try:
        kind_of(path)
    except UserError as error:
        return describe_unknown(error)
    return ""


def read_stream(stream: BufferedReader, limits: Limits, scale: Scale) -> Frames:
    """Choose the reader by the content, and read the header; see `read_frames`."""
    limits.check_bytes(os.fstat(stream.fileno()).st_size)
    kind = recognise(read_head(stream))
    stream.seek(0)
    if kind == "video":
        return read_video(stream, limits)
    if kind != "DICOM":
        return read_image_file(stream, kind, limits, scale)
    from bus_lightning.diagnosis.dicom import read_dicom  # a quarter of a second that other files need not wait for

    return read_dicom(stream, limits)
