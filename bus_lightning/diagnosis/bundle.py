"""Open a bundle: the folder that holds everything a diagnosis needs, each file listed with its checksum.

The checksums find damage and edits; they do not keep out an attacker who can write new checksums.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.core.reading import MB, read_json, read_text
from bus_lightning.data.levels import OWN_SCALE, Scale
from bus_lightning.diagnosis.manifest import Entry, read_reference, read_scale, read_thresholds, read_trained_on
from bus_lightning.diagnosis.stage import PRECISIONS, Stage, read_stages
from bus_lightning.diagnosis.trained_on import Trained

FORMAT = "bus_lightning diagnosis bundle"
VERSION = 3  # 1 and 2: a segmenter and a classifier
MANIFEST, CHECKSUMS, CARD, HEAD, SAMPLES = "bundle.json", "SHA256SUMS", "MODEL_CARD.md", "head.npy", "samples"
CASES = "cases.csv"  # predictions for held-out images, which numbers of the card rest on; only in some bundles
SHIPPED = Path(__file__).parent / "shipped"  # the bundle that comes with the package
OUT_OF_FOLD = "out-of-fold predictions"
VALIDATION = "predictions for validation images"
CALIBRATED_ON = (OUT_OF_FOLD, VALIDATION)
_CURE = "Export the runs again"
_MANIFEST_BYTES, _CHECKSUMS_BYTES, _CARD_BYTES, _FILE_BYTES = 10 * MB, MB, MB, 2_000 * MB  # at most
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


@dataclass(frozen=True)
class Bundle:
    """The content of a bundle: networks, and how an answer is composed from their outputs.

    The outline is where the mean probability of all networks that outline is at least 0.5, the class follows from the
    mean probabilities of all that classify.
    """

    path: Path  # the folder
    networks: dict[str, Stage]  # by name, such as `segmenter` or `joint-2`
    classes: list[str]  # empty if no network classifies
    temperature: float | None  # divisor of the logits; None if the probabilities are not calibrated
    thresholds: dict[str, Any] | None  # {"malignant": {"threshold", "sensitivity", "specificity", ...}}
    reference: dict[str, Any]  # statistics of the training images from `doubt.fit_reference`
    card: str  # the model card, Markdown
    default_precision: str  # fp32, bf16 or int8
    variants: dict[str, Any]  # measured loss and time of each precision
    id: str  # first 12 hex digits of the SHA-256 of the checksum file
    samples: tuple[Path, ...] = ()  # images to try
    trained_on: Trained = field(default_factory=dict)
    scale: Scale = OWN_SCALE  # of the training images, for files that do not state their bit depth
    least_score: float = 0.0  # of the no-lesion rule: outlines with a lower lesion score are dropped; 0 drops none
    calibrated_on: str = OUT_OF_FOLD  # what temperature and thresholds were chosen on

    @property
    def outlines(self) -> bool:
        """Whether its answers have an outline."""
        return any(stage.outlines for stage in self.networks.values())

    @property
    def classifies(self) -> bool:
        """Whether its answers have a class."""
        return bool(self.classes)

    @property
    def answers(self) -> str:
        """What its answers have: `outline and class`, `class only` or `outline only`."""
        if self.outlines and self.classifies:
            return "outline and class"
        return "class only" if self.classifies else "outline only"

    @property
    def precisions(self) -> list[str]:
        """The precisions that every network has a file of."""
        return [kind for kind in PRECISIONS if all(kind in stage.files for stage in self.networks.values())]


def is_bundle(path: Path) -> bool:
    """Say whether a path is the folder of a bundle: it has the manifest, or checksums that list the manifest."""
    with suppress(UserError):
        return has_manifest(path) or MANIFEST in read_checksums(path)
    return False


def find_bundle_around(path: Path) -> Path | None:
    """Return the folder of the bundle in which a path lies, or which it is; None outside of any bundle."""
    whole = path.resolve()
    return next((folder for folder in (whole, *whole.parents) if has_manifest(folder)), None)


def has_manifest(path: Path) -> bool:
    """Say whether a path is the folder of a bundle that has its manifest."""
    with suppress(OSError):
        return (path / MANIFEST).is_file()
    return False


def load_bundle(path: Path) -> Bundle:
    """Check the files of a bundle's folder and read it.

    Raises:
        UserError: In one line, when the folder is not a bundle, of a newer version, or damaged, or cannot be read.
    """
    try:
        return _load_bundle(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its name and its permissions.") from error


def _load_bundle(path: Path) -> Bundle:
    if not path.exists():
        raise UserError(f"{path} does not exist: name the folder of a bundle.")
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path} is not a bundle, it has no {MANIFEST}: make one with python -m bus_lightning.export.")
    sums = read_checksums(path)
    _verify(path, sums)
    content = read_json(path / MANIFEST, most=_MANIFEST_BYTES, cure=_CURE)
    if content.get("format") != FORMAT:
        raise UserError(f"{path / MANIFEST} does not belong to a bundle of bus_lightning: export the runs again.")
    try:
        if (version := Entry(content)["version"].whole(1, 1_000_000)) > VERSION:
            raise UserError(
                f"{path} is a bundle of version {version}, and this program reads version {VERSION}: "
                "update bus_lightning."
            )
        return _read_bundle(path, Entry(content), sums)
    except ValueError as error:
        raise UserError(
            f"{path / MANIFEST} is not valid ({' '.join(str(error).split())}): export the runs again."
        ) from error


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
        text = "" if file.is_symlink() else read_text(file, most=_CHECKSUMS_BYTES)
    except (OSError, UserError):
        text = ""
    *lines, rest = text.split("\n")
    matches = [_LINE.fullmatch(line) for line in lines]
    if rest or not lines or not all(matches):
        raise UserError(f"{file} is missing or damaged: copy the whole bundle again.")
    return {match[2]: match[1] for match in matches if match}


def _verify(folder: Path, sums: dict[str, str]) -> None:
    """Raise UserError when a file is missing, a link, not as its checksum says, or not listed."""
    files = files_of(folder)
    for file in folder.rglob("*"):  # also hidden ones, which an ONNX file may name
        if not file.is_symlink() and not file.is_dir() and not file.is_file():
            raise UserError(f"{file} is a pipe, a socket or a device, which a bundle cannot have: remove it.")
    for name in files:
        if (folder / name).is_symlink():
            raise UserError(f"{folder / name} is a symbolic link, which a bundle cannot have: copy the file itself.")
        if name not in sums:
            raise UserError(f"{folder / name} is not among the bundle's checksums: move it elsewhere.")
    for name in sums:
        if name not in files:  # no name leads out of the folder
            raise UserError(f"{folder / name} is missing in the bundle's folder: copy the whole bundle again.")
    for name in sums:
        if (size := (folder / name).stat().st_size) > _FILE_BYTES:
            raise UserError(f"{folder / name} has {size / 1e9:,.0f} GB, which no file of a bundle has: copy it again.")
    with ThreadPoolExecutor(2) as pool:  # hashing releases Python's lock
        digests = pool.map(lambda name: _checksum_or_none(folder / name), sums)
        for (name, expected), digest in zip(sums.items(), digests, strict=True):
            if digest != expected:
                raise UserError(f"{folder / name} has changed (its checksum differs): copy it again.")


def _checksum_or_none(file: Path) -> str | None:
    try:
        return checksum(file)
    except (OSError, UserError):
        return None


def _read_bundle(path: Path, content: Entry, sums: dict[str, str]) -> Bundle:
    """Read a manifest; a ValueError names the first value that cannot be."""
    classes = [name.text() for name in content["classes"].entries(0, 1000)]
    if len(set(classes)) < len(classes):
        raise ValueError("classes has a name twice")
    if len(classes) == 1:
        raise ValueError("classes is list, not a list of 2 to 1000 values, or none")
    card = read_text(_listed(path, Entry(CARD), sums), most=_CARD_BYTES, cure=_CURE)
    temperature, least_score, calibrated_on = content["temperature"], *map(content.get, ("no_lesion", "calibrated_on"))
    bundle = Bundle(
        path=path,
        networks=read_stages(content, classes, lambda name: _listed(path, name, sums)),
        classes=classes,
        temperature=None if temperature.value is None else temperature.number(0.01, 100),
        thresholds=read_thresholds(content["thresholds"], classes),
        reference=read_reference(content["reference"]),
        card=card,
        default_precision=content["default_precision"].one_of(PRECISIONS),
        variants=content["variants"].mapping(PRECISIONS),
        id=checksum(path / CHECKSUMS)[:12],
        samples=tuple(path / name for name in sorted(sums) if name.startswith(f"{SAMPLES}/")),
        trained_on=read_trained_on(content, card),
        scale=read_scale(content.get("scale")),
        least_score=0.0 if least_score is None else least_score.number(0, 1),
        calibrated_on=OUT_OF_FOLD if calibrated_on is None else calibrated_on.one_of(CALIBRATED_ON),
    )
    for name, stage in bundle.networks.items():
        if bundle.default_precision not in stage.files:
            raise ValueError(f"{name} has no file of its default precision, {bundle.default_precision}")
    return bundle


def _listed(path: Path, name: Entry, sums: dict[str, str]) -> Path:
    """Return the path of a file that has a checksum: no other is ever opened."""
    if name.text() not in sums:
        raise ValueError(f"{name.value} has no checksum")
    return path / name.text()
