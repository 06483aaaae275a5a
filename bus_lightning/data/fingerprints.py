"""Save the fingerprints of a data folder's images, and search for images of one folder in another."""

import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside
from bus_lightning.data.duplicates import Fingerprint, matching_pairs


def save_fingerprints(path: Path, prints: Mapping[str, Fingerprint]) -> None:
    """Write fingerprints by id, compressed; the same fingerprints give the same bytes.

    Args:
        path: The file, about 50 kB per image.
        prints: Id -> fingerprint.
    """
    found = list(prints.values())
    arrays: dict[str, Any] = {
        "ids": np.array(list(prints), dtype=np.str_),
        "digests": np.array([np.frombuffer(one.digest, np.uint8) for one in found], np.uint8).reshape(-1, 32),
        "shapes": np.array([one.grey.shape for one in found], np.int32).reshape(-1, 2),
        "greys": np.concatenate([one.grey.ravel() for one in found] or [np.zeros(0, np.uint8)]),
        "numbers": np.array([len(one.points) for one in found], np.int32),
        "points": np.concatenate([one.points for one in found] or [np.zeros((0, 2), np.float32)]),
        "descriptors": np.concatenate([one.descriptors for one in found] or [np.zeros((0, 128), np.uint8)]),
    }
    with aside(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_fingerprints(path: Path) -> dict[str, Fingerprint]:
    """Read what `save_fingerprints` wrote: id -> fingerprint.

    Raises:
        UserError: When the file is missing or damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            part = {name: file[name] for name in file.files}
        ends = part["shapes"].astype(np.int64).prod(axis=1).cumsum()[:-1]
        greys = np.split(part["greys"], ends)
        points = np.split(part["points"], part["numbers"].cumsum()[:-1])
        descriptors = np.split(part["descriptors"], part["numbers"].cumsum()[:-1])
        return {
            str(id_): Fingerprint(part["digests"][k].tobytes(), greys[k].reshape(part["shapes"][k]), points[k],
                                  descriptors[k])
            for k, id_ in enumerate(part["ids"])
        }  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} does not hold fingerprints of images ({error}): remove it.") from error


def share_file(source: Path, target: Path) -> None:
    """Place a file in a run's folder, as a hard link where possible, else as a copy."""
    with aside(target) as temporary:
        with suppress(OSError):  # another disk, or a file system without links
            os.link(source, temporary)
            return
        shutil.copyfile(source, temporary)


def same_frames(known: Mapping[str, Fingerprint], others: Mapping[str, Fingerprint]) -> list[tuple[str, str]]:
    """Find images of two sets that show the same frame, changed or not.

    Args:
        known: Id -> fingerprint of the first set.
        others: Id -> fingerprint of the second set.

    Returns:
        Pairs (id in `known`, id in `others`).
    """
    first, second = list(known), list(others)
    pairs = matching_pairs([*known.values(), *others.values()], across=len(first))
    return [(first[i], second[j - len(first)]) for i, j in pairs]
