"""Open a bundle: the folder that holds everything a diagnosis needs, each file listed with its checksum.

The checksums find damage and edits; they do not keep out an attacker who can write new checksums.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.diagnosis.trained_on import Trained, from_manifest

FORMAT = "bus_lightning diagnosis bundle"
VERSION = 2
MANIFEST, CHECKSUMS, CARD, HEAD, SAMPLES = "bundle.json", "SHA256SUMS", "MODEL_CARD.md", "head.npy", "samples"
PRECISIONS = ("fp32", "bf16", "int8")
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


@dataclass(frozen=True)
class Stage:
    """One of the two networks and the preprocessing of its images."""

    name: str  # of the model
    preprocessing: Preprocessing
    mean: tuple[float, ...]  # per channel of the image, for inputs in [0, 1]
    std: tuple[float, ...]
    channels: int  # 1 (grey), 3 (RGB) or 4 (RGB and the mask)
    files: dict[str, Path]  # ONNX file of each precision
    overlay: Overlay | None = None  # how the mask enters the image


@dataclass(frozen=True)
class Bundle:
    """The content of a bundle."""

    path: Path  # the folder
    segmenter: Stage
    classifier: Stage
    classes: list[str]  # in the order of the classifier's logits
    temperature: float | None  # divisor of the logits; None if the probabilities are not calibrated
    thresholds: dict[str, Any] | None  # {"malignant": {"threshold", "sensitivity", "specificity", ...}}
    reference: dict[str, Any]  # statistics of the training images from `doubt.fit_reference`
    head: np.ndarray | None  # (K, C) float32 weights of the last layer, for the heat map; None: no heat map
    card: str  # the model card, Markdown
    default_precision: str  # fp32, bf16 or int8
    variants: dict[str, Any]  # measured loss and time of each precision
    id: str  # first 12 hex digits of the SHA-256 of the checksum file
    samples: tuple[Path, ...] = ()  # images to try
    trained_on: Trained = field(default_factory=dict)
    scale: Scale = OWN_SCALE  # of the training images, for files that do not state their bit depth


def load_bundle(path: Path) -> Bundle:
    """Check the files of a bundle's folder and read it.

    Raises:
        UserError: In one line, when the folder is not a bundle, of a newer version, or damaged.
    """
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path} is not a bundle, it has no {MANIFEST}: make one with python -m bus_lightning.export.")
    sums = read_checksums(path)
    _verify(path, sums)
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise UserError(f"{path / MANIFEST} does not belong to a bundle of bus_lightning: export the runs again.")
        if content["version"] > VERSION:
            raise UserError(
                f"{path} is a bundle of version {content['version']}, and this program reads version {VERSION}: "
                "update bus_lightning."
            )
        return _read_bundle(path, content, sums)
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path / MANIFEST} is not valid ({reason}): export the runs again.") from error


def files_of(folder: Path) -> list[str]:
    """List the files of a bundle as sorted relative paths, without the checksum file and hidden files."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())
    names = (file.as_posix() for file in files if not any(part.startswith(".") for part in file.parts))
    return sorted(name for name in names if name != CHECKSUMS)


def read_checksums(folder: Path) -> dict[str, str]:
    """Read SHA256SUMS in the format of `sha256sum`: name -> hex digits.

    Raises:
        UserError: When it is missing or damaged.
    """
    file = folder / CHECKSUMS
    try:
        text = "" if file.is_symlink() else file.read_bytes().decode()
    except (OSError, ValueError):
        text = ""
    *lines, rest = text.split("\n")
    matches = [_LINE.fullmatch(line) for line in lines]
    if rest or not lines or not all(matches):
        raise UserError(f"{file} is missing or damaged: copy the whole bundle again.")
    return {match[2]: match[1] for match in matches if match}


def _verify(folder: Path, sums: dict[str, str]) -> None:
    """Raise UserError when a file is missing, a link, not as its checksum says, or not listed."""
    files = files_of(folder)
    for name in files:
        if (folder / name).is_symlink():
            raise UserError(f"{folder / name} is a symbolic link, which a bundle cannot have: copy the file itself.")
        if name not in sums:
            raise UserError(f"{folder / name} is not among the bundle's checksums: move it elsewhere.")
    for name in sums:
        if name not in files:  # no name leads out of the folder
            raise UserError(f"{folder / name} is missing in the bundle's folder: copy the whole bundle again.")
    with ThreadPoolExecutor(2) as pool:  # hashing releases Python's lock
        digests = pool.map(lambda name: _checksum_or_none(folder / name), sums)
        for (name, expected), digest in zip(sums.items(), digests, strict=True):
            if digest != expected:
                raise UserError(f"{folder / name} has changed (its checksum differs): copy it again.")


def _checksum_or_none(file: Path) -> str | None:
    try:
        return checksum(file)
    except OSError:
        return None


def _read_bundle(path: Path, content: dict[str, Any], sums: dict[str, str]) -> Bundle:
    classes = [str(name) for name in content["classes"]]
    head = None
    if content["head"] is not None:
        head = np.load(_listed(path, content["head"], sums), allow_pickle=False).astype(np.float32)
        if head.ndim != 2 or len(head) != len(classes):
            raise ValueError(f"the head has the shape {head.shape} for {len(classes)} classes")
    card = _listed(path, CARD, sums).read_text(encoding="utf-8")
    return Bundle(
        path=path,
        segmenter=_read_stage(path, content["segmenter"], sums),
        classifier=_read_stage(path, content["classifier"], sums),
        classes=classes,
        temperature=None if content["temperature"] is None else float(content["temperature"]),
        thresholds=content["thresholds"],
        reference=dict(content["reference"]),
        head=head,
        card=card,
        default_precision=_one_of(PRECISIONS, content["default_precision"]),
        variants=dict(content["variants"]),
        id=hashlib.sha256((path / CHECKSUMS).read_bytes()).hexdigest()[:12],
        samples=tuple(path / name for name in sorted(sums) if name.startswith(f"{SAMPLES}/")),
        trained_on=from_manifest(content.get("trained_on"), card),
        scale=Scale(**content.get("scale", {})),  # bundles of version 1 have none
    )


def _read_stage(path: Path, content: dict[str, Any], sums: dict[str, str]) -> Stage:
    return Stage(
        name=str(content["name"]),
        preprocessing=Preprocessing(**{"rules": 1} | content["preprocessing"]),  # bundles of version 1 have no rules
        mean=tuple(map(float, content["mean"])),
        std=tuple(map(float, content["std"])),
        channels=int(_one_of((1, 3, 4), content["channels"])),
        files={_one_of(PRECISIONS, kind): _listed(path, name, sums) for kind, name in content["files"].items()},
        overlay=None if content["overlay"] is None else Overlay(**content["overlay"]),
    )


def _listed(path: Path, name: str, sums: dict[str, str]) -> Path:
    """Return the path of a file that has a checksum: no other is ever opened."""
    if name not in sums:
        raise ValueError(f"{name} has no checksum")
    return path / name


def _one_of(choices: Iterable[Any], value: Any) -> Any:
    if value not in choices:
        raise ValueError(f"{value} is not one of {', '.join(map(str, choices))}")
    return value
