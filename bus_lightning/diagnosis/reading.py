"""Read what a clinic has: pictures, DICOM and video, by their content, whole or not at all.

No message names the file or quotes its header, for both may carry a patient's name.
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
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.pictures import read_pictures
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
    (b"%PDF", "a PDF: save its pictures as PNG"),
    (b"PK\x03\x04", "a ZIP archive or an office document: unpack it, and give the pictures in it"),
    (b"\x1f\x8b", "packed with gzip: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\xd0\xcf\x11\xe0", "an office document, perhaps encrypted: save its pictures as PNG"),
    (b"Salted__", "encrypted: decrypt it"),
    (b"-----BEGIN PGP", "encrypted: decrypt it"),
    (b"age-encryption", "encrypted: decrypt it"),
    (b"GIF8", "a GIF: save it as PNG, or a clip as MP4"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000: save it as PNG"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video: save it as MP4"),
    (b"0&\xb2u", "a Windows Media video: save it as MP4"),
    (b"\0\0\x01\xba", "an MPEG video: save it as MP4"),
    (b"<", "a web page, XML or a drawing (SVG): save its pictures as PNG"),
)
_REASONS = {
    errno.ENOENT: "The file is not there, or a link to something that is not there: look at its name and place.",
    errno.ENOTDIR: "The file is not there: look at its name and place.",
    errno.ELOOP: "The file is a link that leads to itself: name the file itself.",
    errno.EACCES: "The file may not be read: change its permissions, or those of its folder.",
    errno.EPERM: "The file may not be read: change its permissions, or those of its folder.",
    errno.ENAMETOOLONG: "The file's name is too long: give it a shorter one.",
}


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
    with _opened(path) as stream:
        _, frames = _start(stream, limits, scale)
        yield from frames


def count_frames(path: Path, limits: Limits = _DEFAULT) -> int | None:
    """Look up in the header how many pictures a file has, or None where it does not say; a video's may be off by one.

    Raises:
        UserError: When the header already shows that the file cannot be read.
    """
    with _opened(path) as stream:
        return _start(stream, limits, OWN_SCALE)[0] or None


def fingerprint(path: Path, limits: Limits = _DEFAULT) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's content.

    Raises:
        UserError: In one line without the file's name, when it cannot be read, or is larger than the limit.
    """
    with _opened(path) as stream:
        _refuse_large(stream, limits)  # hashing it would take long
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
        except OSError:
            raise UserError("The file cannot be read to its end: copy it to another disk.") from None


def kind_of(path: Path) -> str:
    """Recognise a file by its first bytes: `picture` (PNG, JPEG, BMP, TIFF), `DICOM` or `video`.

    Raises:
        UserError: One line without the file's name, when it is something else or cannot be read.
    """
    with _opened(path) as stream:
        try:
            head = stream.read(_MAGIC_AT + 4)
        except OSError:
            raise UserError("The file cannot be read: copy it to another disk.") from None
    if not head:
        raise UserError("The file is empty (0 bytes): export it again.")
    if head[_MAGIC_AT:] == b"DICM":
        return "DICOM"
    return "picture" if _reader(head, OWN_SCALE).func is read_pictures else "video"


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
            if name.startswith(".") or name.lower() in _SYSTEM:
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
        return str(error).removeprefix("The file is ").partition(", whatever")[0].rstrip(".")
    return ""


def _is_folder(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def _opened(path: Path) -> BufferedReader:
    """Open a regular file, and nothing that opening could block on or change."""
    try:
        _check_kind(path.stat().st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        stream = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "The file cannot be opened: copy it to another disk.")
        raise UserError(reason) from None
    except ValueError:  # a null character, or one that the file system does not know
        raise UserError("The file's name has characters that no file can have: look at its name.") from None
    try:
        _check_kind(os.fstat(stream.fileno()).st_mode)  # it may be another by now
    except BaseException:
        stream.close()
        raise
    return stream


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UserError("This is a folder that may not be read or has no pictures: name a file, or another folder.")
    if not stat.S_ISREG(mode):
        raise UserError("This is a pipe, a socket or a device: copy what it gives into a file.")


def _start(stream: BufferedReader, limits: Limits, scale: Scale) -> tuple[int, Iterator[Frame]]:
    """Choose the reader by the content, and read the header."""
    if not os.fstat(stream.fileno()).st_size:
        raise UserError("The file is empty (0 bytes): export it again.")
    _refuse_large(stream, limits)
    try:
        head = stream.read(_MAGIC_AT + 4)
        stream.seek(0)
    except OSError:
        raise UserError("The file cannot be read: copy it to another disk.") from None
    return _reader(head, scale)(stream, limits=limits)


def _refuse_large(stream: BufferedReader, limits: Limits) -> None:
    size = os.fstat(stream.fileno()).st_size
    if size > limits.file_bytes:
        raise UserError(
            f"The file has {size / 1e6:.0f} MB, and at most {limits.file_bytes / 1e6:g} are read: make it smaller."
        )


def _reader(head: bytes, scale: Scale) -> partial[tuple[int, Iterator[Frame]]]:
    if head[_MAGIC_AT:] == b"DICM":
        from bus_lightning.diagnosis.dicom import read_dicom  # a quarter of a second that other files need not wait

        return partial(read_dicom)
    for start, kind in _PICTURES:
        if head.startswith(start):
            return partial(read_pictures, kind=kind, scale=scale)
    if head[4:8] == b"ftyp" and head[8:12] in _PHOTO_BRANDS:
        raise UserError("The file is a photo of the kind HEIC or AVIF: save it as PNG.")
    if head[4:8] in _VIDEO_BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return partial(read_video)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise UserError("The file is a WebP picture: save it as PNG.")
    for start, said in _OTHERS:
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(start) or head.startswith(start):
            raise UserError(f"The file is {said}.")
    text = not any(byte < 9 for byte in head)
    known = "PNG, JPEG, BMP, TIFF, DICOM, MP4 or AVI"
    raise UserError(f"The file is {'a text' if text else 'of an unknown kind'}, whatever its ending: give {known}.")
