"""Save the fingerprints of a data folder's images, and find images of one folder in another."""

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
    with aside(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_fingerprints(path: Path) -> dict[str, Fingerprint]:
    """Read the file of `save_fingerprints`: id -> fingerprint.

    Raises:
        UserError: If the file is missing or damaged.
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
        raise UserError(f"{path} does not hold fingerprints of images ({error}): delete it.") from error


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
