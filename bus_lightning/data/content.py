"""Hash the files of a data folder, and skip reading them again while their sizes and times stay the same."""

import hashlib
import json
import time
from pathlib import Path

import pandas as pd

from bus_lightning.core.cache import keep_cached, read_cached
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.listing import id_of

_SETTLED_S = 2.0  # two changes within one tick of a file system's clock leave the same time


def content_hash(root: Path, frame: pd.DataFrame) -> str:
    """Hash all files of an index and what a table says about them; the place of the folder does not matter."""
    digest = hashlib.sha256(_from_table(frame))
    for file in _files(frame):
        try:
            content = checksum(root / file)
        except (OSError, UserError):  # a dangling link, a pipe, no permission: reported when the file is decoded
            content = "unreadable"
        digest.update(f"{_name(file)}\0{content}\n".encode())
    return digest.hexdigest()


def findings_key(content: str, frame: pd.DataFrame) -> str:
    """Return the hash that names the findings about an index; they name ids, which the hash of its files does not hold.

    Args:
        content: From `content_hash`. It is the key itself if each id is the image's path, as `id_of` makes it.
        frame: The index.
    """
    ids = frame["id"].tolist()
    if ids == [id_of(image) for image in frame["image"]]:
        return content
    return hashlib.sha256("\0".join((content, *ids)).encode()).hexdigest()


def known_content(root: Path, frame: pd.DataFrame, cache: Path) -> str:
    """Return the `content_hash` of a folder, without reading its files again while none has changed.

    Args:
        root: The data folder.
        frame: Its index.
        cache: Folder that keeps the hashes, a file per data folder.
    """
    stamp, newest = _stamp(root, frame)
    note = cache / f"content-{stable_hash(root.resolve()):016x}.json"
    noted = read_cached(note, lambda content: {name: str(json.loads(content)[name]) for name in ("stamp", "content")})
    if noted and noted["stamp"] == stamp:
        return noted["content"]
    before, content = time.time(), content_hash(root, frame)
    if newest < before - _SETTLED_S:
        keep_cached(note, json.dumps({"stamp": stamp, "content": content}).encode())
    return content


def _stamp(root: Path, frame: pd.DataFrame) -> tuple[str, float]:
    """Hash names, sizes and times of all files; also return the newest time, in seconds since 1970."""
    digest, newest = hashlib.sha256(_from_table(frame)), 0
    for file in _files(frame):
        try:
            status = (root / file).stat()
            # The time of the last status change as well: a copy may keep the time of its content.
            stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        except OSError:
            stamp = (-1, 0, 0)
        newest = max(newest, *stamp[1:])
        digest.update(f"{file}\0{stamp}\n".encode())
    return digest.hexdigest(), newest / 1e9


def _from_table(frame: pd.DataFrame) -> bytes:
    """List what a table says about the images: classes that are not the file's first folder, patients and groups."""
    names = [name for name in ("class", "patient", "group") if name in frame]
    lines = []
    for image, *values in zip(frame["image"], *(frame[name] for name in names), strict=True):
        if any(values[1:]) or values[0] != image.partition("/")[0]:
            lines.append("\0".join((image, *values)) + "\n")
    return "".join(lines).encode()


def _name(file: str) -> str:
    """Name a file without the place of the cache, in which a source may have drawn masks."""
    return Path(file).name if Path(file).is_absolute() else file


def _files(frame: pd.DataFrame) -> list[str]:
    """List the images and masks of an index, in its order."""
    return [file for image, masks in zip(frame["image"], frame["masks"], strict=True) for file in (image, *masks)]
