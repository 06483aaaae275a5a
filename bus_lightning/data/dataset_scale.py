"""Find one grey scale for a data set whose files do not state their bit depth, so brightness stays comparable."""

import json
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from io import BufferedReader
from pathlib import Path

from PIL import Image

from bus_lightning.core.cache import keep_cached, read_cached
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.file_kinds import read_head, recognise
from bus_lightning.data.levels import OWN_SCALE, Scale, is_deep, read_levels, widest
from bus_lightning.data.structure import checked

log = logging.getLogger(__name__)
VERSION = 1  # part of a file's name: raise it when the rule changes


def known_scale(root: Path, images: Sequence[str], content: str, cache: Path) -> Scale:
    """Find the scale that holds all images of a data folder, or read it from the cache.

    Args:
        root: The data folder.
        images: Paths of all its images, relative to the folder, including excluded ones.
        content: Hash of the files.
        cache: Folder with one file per content hash.
    """
    note = cache / f"scale-{VERSION}-{content[:16]}.json"
    scale = read_cached(note, lambda content: Scale(**json.loads(content)))
    if scale is None:
        scale = scale_of(root / image for image in images)
        keep_cached(note, json.dumps(asdict(scale)).encode())
    if scale != OWN_SCALE:
        log.info("Files that do not state their bit depth are read as %d bits%s.", scale.bits,
                 f", floating-point ones as 0 to {scale.white}" if scale.white > 1 else "")  # fmt: skip
    return scale


def scale_of(paths: Iterable[Path]) -> Scale:
    """Find the scale that holds all of the given image files; files that cannot be read are ignored."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return widest(pool.map(_own_scale, paths))


def _own_scale(path: Path) -> Scale:
    """Find the scale of one file; only files of more than 8 bits are decoded."""
    try:
        with open_regular(path) as stream:
            if _is_jpeg(stream):  # it has 8 bits, and a check would decode it twice
                return OWN_SCALE
            with Image.open(checked(stream)) as image:
                return OWN_SCALE.holding(read_levels(image, stream)) if is_deep(image, stream) else OWN_SCALE
    except (OSError, SyntaxError, ValueError, UserError, Image.DecompressionBombError):
        return OWN_SCALE


def _is_jpeg(stream: BufferedReader) -> bool:
    """Recognise a JPEG, and go back to the start of the file."""
    try:
        return recognise(read_head(stream)) == "JPEG"
    except UserError:
        return False
    finally:
        stream.seek(0)
