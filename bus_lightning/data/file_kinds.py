"""Recognise a file by its content, for training and diagnosis: picture, DICOM or video. It needs no PyTorch.

No message names the file or quotes its content: both may hold a patient's name.
"""

from io import BufferedReader
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # file extensions, in lower case
DICOM = (".dcm", ".dicom")
VIDEOS = (".mp4", ".mov", ".avi")
HEAD_BYTES = 132  # the part of a file that `recognise` needs
_SYSTEM_FILES = frozenset(["thumbs.db", "desktop.ini", "icon\r", "__macosx"])  # of Windows and macOS
_DICOM_MAGIC = 128  # byte offset
FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
VIDEO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # the first box of an MP4 or MOV
PHOTO_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
OTHERS = (
    (b"%PDF", "a PDF: save its pictures as PNG"),
    (b"PK\x03\x04", "a ZIP archive or an office document: unpack it and use the pictures in it"),
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


def is_system_file(name: str) -> bool:
    """Check whether a file or folder is hidden or belongs to the operating system, by its name."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def read_head(stream: BufferedReader) -> bytes:
    """Read the first `HEAD_BYTES` bytes of an opened file.

    Raises:
        UserError: In one line without the file's name, if the file is empty or cannot be read.
    """
    try:
        head = stream.read(HEAD_BYTES)
    except OSError:
        raise UserError("The file cannot be read: copy it to another disk.") from None
    if not head:
        raise UserError("The file is empty (0 bytes): export it again.")
    return head


def recognise(head: bytes) -> str:
    """Recognise a file by its first `HEAD_BYTES` bytes: `PNG`, `JPEG`, `BMP`, `TIFF`, `DICOM` or `video`.

    Raises:
        UserError: In one line without the file's name, if it is something else.
    """
    if head[_DICOM_MAGIC:] == b"DICM":
        return "DICOM"
    for start, kind in FORMATS:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ftyp" and head[8:12] in PHOTO_BRANDS:
        raise UserError("The file is a HEIC or AVIF photo: save it as PNG.")
    if head[4:8] in VIDEO_BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise UserError("The file is a WebP picture: save it as PNG.")
    for start, description in OTHERS:
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(start) or head.startswith(start):
            raise UserError(f"The file is {description}.")
    text = not any(byte < 9 for byte in head)
    known = "PNG, JPEG, BMP, TIFF, DICOM, MP4 or AVI"
    kind = "a text file" if text else "of an unknown kind"
    raise UserError(f"The file is {kind}, whatever its extension: use {known}.")


def kind_of(path: Path) -> str:
    """Recognise a file by its content, as `recognise` does.

    Raises:
        UserError: In one line without the file's name, if it is something else or cannot be read.
    """
    with open_regular(path) as stream:
        return recognise(read_head(stream))


def describe_unknown(error: UserError) -> str:
    """Shorten a message of `kind_of` to the description of the file, for lists of skipped files."""
    return str(error).rstrip(".").removeprefix("The file is ").partition(", whatever")[0]
