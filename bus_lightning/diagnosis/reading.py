"""Find and read image files, DICOM and video by their content.

No message names the file or quotes its header, because both may hold a patient's name.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedReader
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.data import folder
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.diagnosis.frames import Frame, Frames, Limits
from bus_lightning.diagnosis.image_files import read_image_file
from bus_lightning.diagnosis.video import read_video

ENDINGS = frozenset([*folder.ENDINGS, *folder.DICOM, ".mp4", ".mov", ".avi"])
_SYSTEM = frozenset(["thumbs.db", "desktop.ini"])  # of Windows
_DEFAULT = Limits()
_MAGIC_AT = 128  # where a DICOM file says that it is one
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
_VIDEO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # the first box of an MP4 or MOV
_PHOTO_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_OTHERS = (
    (b"%PDF", "a PDF: save its images as PNG"),
    (b"PK\x03\x04", "a ZIP archive or an office document: unpack it, and give the images in it"),
    (b"\x1f\x8b", "packed with gzip: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\xd0\xcf\x11\xe0", "an office document, perhaps encrypted: save its images as PNG"),
    (b"Salted__", "encrypted: decrypt it"),
    (b"-----BEGIN PGP", "encrypted: decrypt it"),
    (b"age-encryption", "encrypted: decrypt it"),
    (b"GIF8", "a GIF: save it as PNG, or a clip as MP4"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000: save it as PNG"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video: save it as MP4"),
    (b"0&\xb2u", "a Windows Media video: save it as MP4"),
    (b"\0\0\x01\xba", "an MPEG video: save it as MP4"),
    (b"<", "a web page, XML or a drawing (SVG): save its images as PNG"),
)
_REASONS = {
    errno.ENOENT: "The file is not there, or it is a broken link: check its name and folder.",
    errno.ENOTDIR: "The file is not there: check its name and folder.",
    errno.ELOOP: "The file is a link that leads to itself: give the file itself.",
    errno.EACCES: "The file may not be read: change its permissions, or those of its folder.",
    errno.EPERM: "The file may not be read: change its permissions, or those of its folder.",
    errno.ENAMETOOLONG: "The file's name is too long: give it a shorter one.",
}


def read_frames(path: Path, limits: Limits = _DEFAULT, scale: Scale = OWN_SCALE) -> Iterator[Frame]:
    """Read the images of a PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV or AVI file, one at a time.

    The content decides the kind of a file, not its extension. Size and number of the images are checked in the header
    before anything is decoded. A pipe or a device is not opened. `scale`, that of the training images, is for a PNG or
    TIFF that does not state its bit depth; it is widened for a file with brighter levels.

    Raises:
        UserError: In one line without the file's name, when anything is wrong with it.
    """
    with _open(path) as stream:
        _, frames = _start(stream, limits, scale)
        yield from frames


def count_frames(path: Path, limits: Limits = _DEFAULT) -> int | None:
    """Read from the header how many images a file has; None if it does not say, and off by one for some videos.

    Raises:
        UserError: When the header already shows that the file cannot be read.
    """
    with _open(path) as stream:
        return _start(stream, limits, OWN_SCALE)[0] or None


def fingerprint(path: Path, limits: Limits = _DEFAULT) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's content.

    Raises:
        UserError: In one line without the file's name, when it cannot be read, or is larger than the limit.
    """
    with _open(path) as stream:
        limits.check_bytes(os.fstat(stream.fileno()).st_size)  # hashing it would take long
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
        except OSError:
            raise UserError("The file cannot be read to its end: copy it to another disk.") from None


def kind_of(path: Path) -> str:
    """Recognise a file by its first bytes: `picture` (PNG, JPEG, BMP, TIFF), `DICOM` or `video`.

    Raises:
        UserError: One line without the file's name, when it is something else or cannot be read.
    """
    with _open(path) as stream:
        head = _read_head(stream)
    if head[_MAGIC_AT:] == b"DICM":
        return "DICOM"
    return "picture" if _reader(head, OWN_SCALE).func is read_image_file else "video"


def find_files(paths: Sequence[Path], left_out: dict[Path, str] | None = None) -> list[Path]:
    """List the files to read: each path that is a file, and the files below each path that is a folder.

    In a folder, files with a known extension are listed, and others whose content is an image, DICOM or video. Hidden
    files and folders are skipped, and links to folders are not followed. A folder that cannot be read, or in which
    nothing is found, is listed itself, so that reading it gives an error. `left_out` is filled with the other files of
    the folders: path -> kind of the file, without its name.

    Returns:
        Each file once, in the order of `paths`, and sorted within a folder.
    """
    files: dict[Path, None] = {}
    others: dict[Path, str] = {}
    for path in paths:
        inside = _search(path, others) if _is_folder(path) else []
        files.update(dict.fromkeys(inside or [path]))
    if left_out is not None:
        left_out |= {path: kind for path, kind in others.items() if path not in files}
    return list(files)


def _search(folder: Path, others: dict[Path, str]) -> list[Path]:
    """List the files below a folder, and the folders below it that may not be read."""
    files: list[Path] = []
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = (name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or name.lower() in _SYSTEM:
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
        return str(error).removeprefix("The file is ").partition(", whatever")[0].rstrip(".")
    return ""


def _is_folder(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def _open(path: Path) -> BufferedReader:
    """Open a regular file, and nothing else: opening a pipe could block, and opening a device could change it."""
    try:
        _check_type(path.stat().st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        stream = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "The file cannot be opened: copy it to another disk.")
        raise UserError(reason) from None
    except ValueError:  # a null character, or one that the file system does not know
        raise UserError("The file's name has characters that no file can have: check its name.") from None
    try:
        _check_type(os.fstat(stream.fileno()).st_mode)  # it may have been replaced since
    except BaseException:
        stream.close()
        raise
    return stream


def _check_type(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UserError("This is a folder that may not be read or has no images: give a file, or another folder.")
    if not stat.S_ISREG(mode):
        raise UserError("This is a pipe, a socket or a device: copy its content into a file.")


def _start(stream: BufferedReader, limits: Limits, scale: Scale) -> Frames:
    """Choose the reader by the content, and read the header."""
    limits.check_bytes(os.fstat(stream.fileno()).st_size)
    return _reader(_read_head(stream), scale)(stream, limits=limits)


def _read_head(stream: BufferedReader) -> bytes:
    """Read the first bytes of a file, and return to its start."""
    try:
        head = stream.read(_MAGIC_AT + 4)
        stream.seek(0)
    except OSError:
        raise UserError("The file cannot be read: copy it to another disk.") from None
    if not head:
        raise UserError("The file is empty (0 bytes): export it again.")
    return head


def _reader(head: bytes, scale: Scale) -> partial[Frames]:
    if head[_MAGIC_AT:] == b"DICM":
        from bus_lightning.diagnosis.dicom import read_dicom  # a quarter of a second that other files need not wait for

        return partial(read_dicom)
    for start, kind in _PICTURES:
        if head.startswith(start):
            return partial(read_image_file, kind=kind, scale=scale)
    if head[4:8] == b"ftyp" and head[8:12] in _PHOTO_BRANDS:
        raise UserError("The file is a HEIC or AVIF photo: save it as PNG.")
    if head[4:8] in _VIDEO_BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return partial(read_video)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise UserError("The file is a WebP image: save it as PNG.")
    for start, kind in _OTHERS:
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(start) or head.startswith(start):
            raise UserError(f"The file is {kind}.")
    kind = "of an unknown kind" if any(byte < 9 for byte in head) else "a text"
    raise UserError(f"The file is {kind}, whatever its extension: give PNG, JPEG, BMP, TIFF, DICOM, MP4 or AVI.")
