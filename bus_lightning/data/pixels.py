"""Decode, clean and resize images once, into a memory-mapped file that all jobs of a machine share."""

import logging
import math
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from bus_lightning.core.cache import caching, cleared, is_whole, mark_used
from bus_lightning.core.errors import UserError
from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.index import read_image, read_mask, read_predicted_mask
from bus_lightning.data.levels import Scale
from bus_lightning.data.mistakes import mirrored
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.preprocess import Overlay, Preprocessing

log = logging.getLogger(__name__)
VERSION = 3  # part of a file's name: raise it when the record of an image changes
_GB = 1e9


def cached_pixels(
    prepared: PreparedData,
    preprocessing: Preprocessing,
    cleaned: bool,
    cache: Path,
    limit: float,
    overlay: Overlay | None = None,
) -> np.ndarray:
    """Open the pixels of all images of an index; decode them first if no job has done so.

    Of jobs that start together, one writes the file and the others wait.

    Args:
        prepared: The images.
        preprocessing: How to clean and resize.
        cleaned: Whether to clean, or only to resize.
        cache: Folder of the file.
        limit: Largest size of all such files together, in gigabytes; the least recently used ones are removed.
        overlay: How to crop the images around their masks; None keeps them whole.

    Returns:
        (N,) records in the order of the index: `image` (size, size, 3) uint8, `mask` (size, size) uint8 in {0, 1},
        `predicted`, the predicted masks, of the same kind and only if the index has a column of that name, `shape` (2,)
        int32, height and width of the image's file, and `grey`, whether its three channels are equal. The records are
        mapped from the file: memory holds only the parts that are read, once for all jobs; changes stay private.

    Raises:
        UserError: If the file would be larger than the limit or the disk, or the images change meanwhile.
    """
    settings = (preprocessing.denoise, preprocessing.contrast) if cleaned else ("none", "none")
    rules = (preprocessing.rules, *astuple(prepared.scale))
    masks = (prepared.predicted_by, overlay and (overlay.source, overlay.margin))
    further = map(str, masks) if any(masks) else ()  # the files of runs without masks keep their names
    name = stable_hash(VERSION, *rules, prepared.content, preprocessing.size, preprocessing.resize, *settings, *further)
    path = cache / f"pixels-{name:016x}.npy"
    kind, number = record_type(preprocessing.size, bool(prepared.predicted_by)), len(prepared.frame)
    if (records := _open(path, kind, number)) is not None:
        return records
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cleared(cache / "pixels.lock")):  # one for all files, because each job may remove those of others
        if (records := _open(path, kind, number)) is None:
            for leftover in cache.glob(".pixels-*"):  # of a killed process
                with suppress(OSError):
                    leftover.unlink()
            _make_room(cache, path, number * kind.itemsize / _GB, limit)
            with caching(path) as temporary:
                _write(temporary, kind, number, _decoded(prepared, preprocessing, cleaned, overlay))
                if prepared.has_changed(cache):
                    raise UserError(f"{prepared.root} changed while its images were decoded: run the command again.")
            records = _map(path, kind, number)
    return records


def _open(path: Path, kind: np.dtype[Any], number: int) -> np.ndarray | None:
    """Map a file into memory if it exists and its checksum is right."""
    header = _header(kind, number)
    with suppress(FileNotFoundError):  # another job may remove it at any time
        return _map(path, kind, number) if is_whole(path, header, len(header) + number * kind.itemsize) else None
    return None


def _map(path: Path, kind: np.dtype[Any], number: int) -> np.ndarray:
    """Map a file into memory, and mark it as recently used."""
    records = np.memmap(path, kind, mode="c", offset=len(_header(kind, number)), shape=(number,))
    mark_used(path)
    return records


def _header(kind: np.dtype[Any], number: int) -> bytes:
    """Return the first bytes of a file of so many records, in NumPy's format."""
    stream = BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (number,)}
    np.lib.format.write_array_header_2_0(stream, header)
    return stream.getvalue()


def record_type(size: int, with_predicted: bool) -> np.dtype[Any]:
    """Return the type of a record of `cached_pixels`."""
    square = (size, size)
    predicted = [("predicted", "u1", square)] if with_predicted else []
    return np.dtype(
        [("image", "u1", (*square, 3)), ("mask", "u1", square), *predicted, ("shape", "<i4", 2), ("grey", "?")]
    )


def _decoded(
    prepared: PreparedData, preprocessing: Preprocessing, cleaned: bool, overlay: Overlay | None
) -> Iterator[tuple[Any, ...]]:
    """Decode, crop, clean and resize the images of an index, in its order."""

    def decode(row: Any) -> tuple[Any, ...]:
        image, masks = read_files(row, prepared.root, prepared.scale)
        return make_record(row, image, masks, preprocessing, cleaned, overlay)

    rows = list(prepared.frame.itertuples(index=False))
    step = 256  # otherwise the pool runs ahead of the disk and fills the memory
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(rows), desc="decoding", disable=None, leave=False) as bar,
    ):
        for start in range(0, len(rows), step):
            for decoded in pool.map(decode, rows[start : start + step]):
                bar.update()
                yield decoded


def read_files(row: Any, root: Path, scale: Scale) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read an image and its masks: the ground truth, then the predicted mask if the index has a column of that name.

    Args:
        row: The row of the index.
        root: The data folder.
        scale: Grey scale of the data set.

    Returns:
        (H, W, 3) uint8; (H, W) uint8 in {0, 1} each. None is mirrored, also of a mirrored copy.
    """
    image = read_image(root / row.image, scale)
    masks = [read_mask(root, row.masks, image.shape[:2])]
    if hasattr(row, "predicted"):
        empty = np.zeros(image.shape[:2], np.uint8)
        predicted = read_predicted_mask(Path(row.predicted), image.shape[:2]) if row.predicted else empty
        masks.append(mirrored(predicted, row.flip))  # that of a mirrored copy was predicted for the copy
    return image, masks


def make_record(
    row: Any,
    image: np.ndarray,
    masks: list[np.ndarray],
    preprocessing: Preprocessing,
    cleaned: bool,
    overlay: Overlay | None,
) -> tuple[Any, ...]:
    """Crop, clean and resize an image and its masks into a record of `cached_pixels`; see there for the arguments."""
    shape = image.shape[:2]
    if overlay:
        box = overlay.box(masks[overlay.source == "predicted"])
        image, masks = image[box], [np.ascontiguousarray(mask[box]) for mask in masks]
    fitted = mirrored(preprocessing.fit(preprocessing.clean(image) if cleaned else image), row.flip)
    grey = bool((fitted == fitted[..., :1]).all())
    squares = [mirrored(preprocessing.fit(mask, is_mask=True), row.flip) for mask in masks]
    return fitted, *squares, shape, grey


def _write(path: Path, kind: np.dtype[Any], number: int, rows: Iterator[tuple[Any, ...]]) -> None:
    """Write records one after another; not through a memory map, where a full disk causes a bus error."""
    with path.open("wb") as stream:
        stream.write(_header(kind, number))
        for row in rows:
            stream.write(np.array(row, kind).tobytes())


def _make_room(cache: Path, path: Path, needed: float, limit: float) -> None:
    """Remove files until `needed` gigabytes at a path are within the limit; jobs that have a file open keep it."""
    if needed > limit:
        raise UserError(
            f"The decoded images take {needed:.1f} GB, more than data.cache_gb={limit:g}: "
            f"set data.cache_gb={math.ceil(needed * 1.1)}, or choose a smaller data.size."
        )
    others = (file for file in cache.glob("pixels-*.npy") if file != path and file.is_file())
    files = sorted(others, key=lambda file: file.stat().st_mtime)
    while files and needed + sum(file.stat().st_size for file in files) / _GB > limit:
        log.info("Removed %s, the least recently used file (data.cache_gb=%g).", files[0], limit)
        files.pop(0).unlink()
    if (free := shutil.disk_usage(cache).free / _GB) < needed:
        raise UserError(
            f"The decoded images take {needed:.1f} GB and {cache} has {free:.1f} GB left: "
            "free some space (what is in this folder may be deleted), or set data.cache=FOLDER on another disk."
        )
