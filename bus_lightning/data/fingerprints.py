"""Save the fingerprints of a data folder's images, and find images of one folder in another."""

import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bus_lightning.core.arrays import read_array
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside
from bus_lightning.core.reading import MB, open_regular
from bus_lightning.data.duplicates import Fingerprint, matching_pairs

# Name of an array -> its kind of numbers or texts, and its number of dimensions.
_KINDS = {"ids": "U1", "digests": "u2", "shapes": "i2", "greys": "u1", "numbers": "i1", "points": "f2",
          "descriptors": "u2"}  # fmt: skip
_SMALL = 200 * MB  # unpacked; larger files hold many images, which are packed to a half
_MOST_PACKED = 10  # times smaller than unpacked


def save_fingerprints(path: Path, fingerprints: Mapping[str, Fingerprint]) -> None:
    """Write fingerprints by id, compressed, about 50 kB per image; the same fingerprints give the same bytes."""
    values = list(fingerprints.values())
    arrays: dict[str, Any] = {
        "ids": np.array(list(fingerprints), dtype=np.str_),
        "digests": np.array([np.frombuffer(f.digest, np.uint8) for f in values], np.uint8).reshape(-1, 32),
        "shapes": np.array([f.grey.shape for f in values], np.int32).reshape(-1, 2),
        "greys": np.concatenate([np.zeros(0, np.uint8), *(f.grey.ravel() for f in values)]),
        "numbers": np.array([len(f.points) for f in values], np.int32),
        "points": np.concatenate([np.zeros((0, 2), np.float32), *(f.points for f in values)]),
        "descriptors": np.concatenate([np.zeros((0, 128), np.uint8), *(f.descriptors for f in values)]),
    }
    # As `np.savez_compressed`, but in half the time, and no larger: more effort finds nothing to pack in speckle.
    with aside(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_fingerprints(path: Path) -> dict[str, Fingerprint]:
    """Read the file of `save_fingerprints`: id -> fingerprint.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        with open_regular(path) as stream:
            part = _read_arrays(stream)
        _check_sizes(**part)
        ends = part["shapes"].astype(np.int64).prod(axis=1).cumsum()[:-1]
        greys = np.split(part["greys"], ends)
        points = np.split(part["points"], part["numbers"].cumsum()[:-1])
        descriptors = np.split(part["descriptors"], part["numbers"].cumsum()[:-1])
        return {
            str(id_): Fingerprint(part["digests"][k].tobytes(), greys[k].reshape(part["shapes"][k]), points[k],
                                  descriptors[k])
            for k, id_ in enumerate(part["ids"])
        }  # fmt: skip
    # The last two: a damaged archive seems to have an unknown compression, or a password.
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, UserError,
            NotImplementedError, RuntimeError) as error:  # fmt: skip
        raise UserError(f"{path} does not hold fingerprints of images ({error}): delete it.") from error


def _read_arrays(stream: BinaryIO) -> dict[str, NDArray[Any]]:
    """Read the arrays of `_KINDS`, after a look at the sizes that the file claims for them."""
    part = {}
    with zipfile.ZipFile(stream) as archive:
        total = sum(archive.getinfo(f"{name}.npy").file_size for name in _KINDS)
        if total > max(_SMALL, _MOST_PACKED * os.fstat(stream.fileno()).st_size):
            raise ValueError(f"it claims to hold {total / 1e9:.1f} GB")
        for name, kind in _KINDS.items():
            with archive.open(f"{name}.npy") as member:
                part[name] = read_array(member, archive.getinfo(f"{name}.npy").file_size)
            if part[name].dtype.kind != kind[0] or part[name].ndim != int(kind[1]):
                raise ValueError(f"{name} is of another kind")
    return part


def _check_sizes(
    ids: NDArray[Any], digests: NDArray[Any], shapes: NDArray[Any], greys: NDArray[Any], numbers: NDArray[Any],
    points: NDArray[Any], descriptors: NDArray[Any],
) -> None:  # fmt: skip
    """Refuse arrays that do not belong together."""
    images, keypoints = len(ids), int(numbers.sum(dtype=np.int64))
    pixels = int(shapes.astype(np.int64).prod(axis=1).sum())
    expected = {"digests": (images, 32), "shapes": (images, 2), "greys": (pixels,), "numbers": (images,),
                "points": (keypoints, 2), "descriptors": (keypoints, 128)}  # fmt: skip
    own = {"digests": digests, "shapes": shapes, "numbers": numbers, "points": points, "descriptors": descriptors,
           "greys": greys}  # fmt: skip
    if any(own[name].shape != shape for name, shape in expected.items()):
        raise ValueError("its arrays do not fit each other")
    if (numbers < 0).any() or (shapes < 1).any() or not np.isfinite(points).all():
        raise ValueError("it holds impossible numbers")


def share_file(source: Path, target: Path) -> None:
    """Put a file into a run's folder, as a hard link if possible, else as a copy."""
    with aside(target) as temporary:
        with suppress(OSError):  # another disk, or a file system without links
            os.link(source, temporary)
            return
        shutil.copyfile(source, temporary)


def same_frames(known: Mapping[str, Fingerprint], others: Mapping[str, Fingerprint]) -> list[tuple[str, str]]:
    """Find images of two sets (id -> fingerprint) that show the same frame: pairs (id in `known`, id in `others`)."""
    first, second = list(known), list(others)
    pairs = matching_pairs([*known.values(), *others.values()], across=len(first))
    return [(first[i], second[j - len(first)]) for i, j in pairs]
