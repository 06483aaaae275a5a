"""A bundle: the folder that holds all that a diagnosis needs, opened only when every byte is as it was written.

The checksums find damage and edits; whoever can write new checksums too is not kept out.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
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
    """One of the two networks and what its images go through.

    Attributes:
        name: Of the model.
        preprocessing: Cleaning and resizing.
        mean, std: Per channel of the image, for inputs in [0, 1].
        channels: 1 (grey), 3 (RGB) or 4 (RGB, and the mask).
        files: ONNX file of each precision.
        overlay: How the mask enters; None where it does not.
    """

    name: str
    preprocessing: Preprocessing
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    files: dict[str, Path]
    overlay: Overlay | None = None


@dataclass(frozen=True)
class Bundle:
    """What a folder holds whose checksums fit.

    Attributes:
        path: The folder.
        segmenter, classifier: The networks.
        classes: Names, in the order of the classifier's logits.
        temperature: What logits are divided by; None where the probabilities are not calibrated.
        thresholds: `{"malignant": {"threshold", "sensitivity", "specificity", ...}}`; None where none could be chosen.
        reference: Statistics of the training images, as `doubt.fit_reference` gives them.
        head: (K, C) float32 weights of the last layer, for the class activation map; None: no heat map.
        card: The model card, Markdown.
        default_precision: fp32, bf16 or int8.
        variants: What each precision was measured to lose and to take.
        id: First 12 hex digits of the checksums' own SHA-256, which name the bundle.
        samples: Pictures to try.
        trained_on: What `segmenter` and `classifier` were trained on; empty if it is not recorded.
        scale: Scale of the training images, for files that do not state their bit depth.
    """

    path: Path
    segmenter: Stage
    classifier: Stage
    classes: list[str]
    temperature: float | None
    thresholds: dict[str, Any] | None
    reference: dict[str, Any]
    head: np.ndarray | None
    card: str
    default_precision: str
    variants: dict[str, Any]
    id: str
    samples: tuple[Path, ...] = ()
    trained_on: Trained = field(default_factory=dict)
    scale: Scale = OWN_SCALE


def load_bundle(path: Path) -> Bundle:
    """Check a bundle's files and read it.

    Args:
        path: The folder.

    Raises:
        UserError: In one line, when the folder is no bundle, of a newer version, or not as it was written.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path} is no bundle: it has no {MANIFEST}. Make one with bus_lightning.export.__main__.")
    sums = read_checksums(path)
    _verify(path, sums)
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise UserError(f"{path / MANIFEST} is not of a bundle of bus_lightning: export the runs again.")
        if content["version"] > VERSION:
            raise UserError(
                f"{path} is a bundle of version {content['version']}, and this program reads {VERSION}: update it."
            )
        return _bundle(path, content, sums)
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path / MANIFEST} does not make sense ({reason}): export the runs again.") from error


def files_of(folder: Path) -> list[str]:
    """List what lies in a bundle's folder, below it and sorted, but for the checksums and hidden files."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())
    named = (file.as_posix() for file in found if not any(part.startswith(".") for part in file.parts))
    return sorted(name for name in named if name != CHECKSUMS)


def read_checksums(folder: Path) -> dict[str, str]:
    """Read SHA256SUMS, as `sha256sum` writes it: name -> hex digits.

    Raises:
        UserError: When it is missing or not whole.
    """
    file = folder / CHECKSUMS
    damaged = UserError(f"{file} is missing or damaged: copy the bundle again, whole.")
    if file.is_symlink():
        raise damaged
    try:
        text = file.read_bytes().decode()
    except (OSError, ValueError):
        raise damaged from None
    *lines, rest = text.split("\n")
    matches = [_LINE.fullmatch(line) for line in lines]
    if rest or not lines or not all(matches):
        raise damaged
    return {match[2]: match[1] for match in matches if match}


def _verify(folder: Path, sums: dict[str, str]) -> None:
    """Compare every file with its checksum.

    Raises:
        UserError: When one is missing, linked, changed, or not listed.
    """
    for name in sums:
        parts = PurePosixPath(name).parts
        places = [folder.joinpath(*parts[: number + 1]) for number in range(len(parts))]
        if name.startswith("/") or ".." in parts:
            raise UserError(f"{folder / CHECKSUMS} names a file outside of the bundle: it is not to be trusted.")
        if any(place.is_symlink() for place in places):
            raise UserError(f"{places[-1]} is a symbolic link, which a bundle does not have: copy the file itself.")
        if not places[-1].is_file():
            raise UserError(f"{places[-1]} is missing: copy the bundle again, whole.")
    if unlisted := [name for name in files_of(folder) if name not in sums]:
        raise UserError(f"{folder / unlisted[0]} is not among the bundle's checksums: move it elsewhere.")
    with ThreadPoolExecutor(2) as pool:  # hashing holds no lock
        found = pool.map(lambda name: _checksum_or_none(folder / name), sums)
        for (name, expected), digest in zip(sums.items(), found, strict=True):
            if digest != expected:
                raise UserError(f"{folder / name} is not as it was written (its checksum differs): copy it again.")


def _checksum_or_none(file: Path) -> str | None:
    try:
        return checksum(file)
    except OSError:
        return None


def _bundle(path: Path, content: dict[str, Any], sums: dict[str, str]) -> Bundle:
    """Build the bundle of a manifest."""
    classes = [str(name) for name in content["classes"]]
    head = None
    if content["head"] is not None:
        head = np.load(_listed(path, content["head"], sums), allow_pickle=False).astype(np.float32)
        if head.ndim != 2 or len(head) != len(classes):
            raise ValueError(f"the head has the shape {head.shape} for {len(classes)} classes")
    card = _listed(path, CARD, sums).read_text(encoding="utf-8")
    samples = (name for name in sums if name.startswith(f"{SAMPLES}/"))
    return Bundle(
        path=path,
        segmenter=_stage(path, content["segmenter"], sums),
        classifier=_stage(path, content["classifier"], sums),
        classes=classes,
        temperature=None if content["temperature"] is None else float(content["temperature"]),
        thresholds=content["thresholds"],
        reference=dict(content["reference"]),
        head=head,
        card=card,
        default_precision=_known(content["default_precision"], PRECISIONS),
        variants=dict(content["variants"]),
        id=hashlib.sha256((path / CHECKSUMS).read_bytes()).hexdigest()[:12],
        samples=tuple(path / name for name in sorted(samples)),
        trained_on=from_manifest(content.get("trained_on"), card),
        scale=Scale(**content.get("scale", {})),  # bundles of version 1 have none
    )


def _stage(path: Path, content: dict[str, Any], sums: dict[str, str]) -> Stage:
    """Build one stage of a manifest."""
    overlay = content["overlay"]
    channels = int(_known(content["channels"], (1, 3, 4)))
    return Stage(
        name=str(content["name"]),
        preprocessing=Preprocessing(**{"rules": 1} | content["preprocessing"]),  # bundles of version 1 have no rules
        mean=tuple(map(float, content["mean"])),
        std=tuple(map(float, content["std"])),
        channels=channels,
        files={
            _known(precision, PRECISIONS): _listed(path, name, sums) for precision, name in content["files"].items()
        },
        overlay=None if overlay is None else Overlay(**overlay),
    )


def _listed(path: Path, name: str, sums: dict[str, str]) -> Path:
    """Find a file that the checksums list: no other is ever opened."""
    if name not in sums:
        raise ValueError(f"{name} has no checksum")
    return path / name


def _known(value: Any, known: Iterable[Any]) -> Any:
    if value not in known:
        raise ValueError(f"{value} is none of {', '.join(map(str, known))}")
    return value
