"""One network of a bundle: what it answers, how its images are prepared, and how its entry in a manifest is read."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bus_lightning.core.arrays import read_array
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.diagnosis.manifest import Entry, read_overlay, read_preprocessing

PRECISIONS = ("fp32", "bf16", "int8")
MASK, CLASS = "mask", "class"
_MOST = 50  # networks of a bundle
OUTPUTS = (MASK, CLASS)  # what a network may answer, in the order of its outputs


@dataclass(frozen=True)
class Stage:
    """A network and the preprocessing of its images."""

    name: str  # of the model
    outputs: tuple[str, ...]  # `mask`, `class`, or both for a joint network
    preprocessing: Preprocessing
    mean: tuple[float, ...]  # per channel of the image, for inputs in [0, 1]
    std: tuple[float, ...]
    channels: int  # 1 (grey), 3 (RGB) or 4 (RGB and the mask)
    files: dict[str, Path]  # ONNX file of each precision
    classes: tuple[str, ...] = ()  # in the order of its logits; empty if it answers no class
    overlay: Overlay | None = None  # how the mask enters the image
    head: np.ndarray | None = None  # (K, F) float32 weights of the last layer, for the heat map; None: no heat map
    flips: bool = False  # whether its probabilities are averaged over an image and its mirror image

    @property
    def outlines(self) -> bool:
        """Whether it outlines the lesion."""
        return MASK in self.outputs

    @property
    def classifies(self) -> bool:
        """Whether it predicts the class."""
        return CLASS in self.outputs


Listed = Callable[[Entry], Path]  # a file name in the manifest -> its path, if the file has a checksum


def read_stages(content: Entry, classes: Sequence[str], listed: Listed) -> dict[str, Stage]:
    """Read the networks of a manifest, by name; a manifest of version 1 or 2 holds a segmenter and a classifier."""
    entries = content.get("networks")
    if entries is None:
        head = content["head"]
        stages = {
            "segmenter": _read_stage(content["segmenter"], (MASK,), (), listed, None),
            "classifier": _read_stage(content["classifier"], (CLASS,), classes, listed, head),
        }
    else:
        stages = {name: _read_new_stage(entry, classes, listed) for name, entry in entries.items()}
    _check_together(stages, classes)
    return stages


def _read_new_stage(content: Entry, classes: Sequence[str], listed: Listed) -> Stage:
    outputs = tuple(output.one_of(OUTPUTS) for output in content["outputs"].entries(1, 2))
    if outputs not in ((MASK,), (CLASS,), OUTPUTS):
        raise ValueError(f"{content.place}.outputs are not mask, class, or both in this order")
    own = [name.text() for name in content["classes"].entries(0, 1000)]
    if sorted(own) != (sorted(classes) if CLASS in outputs else []):
        raise ValueError(f"{content.place}.classes are not those of the bundle")
    return _read_stage(content, outputs, own, listed, content["head"], content["flips"].flag())


def _read_stage(
    content: Entry, outputs: tuple[str, ...], classes: Sequence[str], listed: Listed, head: Entry | None,
    flips: bool = False,
) -> Stage:  # fmt: skip
    channels, overlay = content["channels"].one_of((1, 3, 4)), content["overlay"]
    names = {Entry(kind, f"{content.place}.files").one_of(PRECISIONS): name for kind, name in content["files"].items()}
    if others := [name.place for name in names.values() if not name.text().endswith(".onnx")]:
        raise ValueError(f"{others[0]} is not an ONNX file")
    has_head = head is not None and head.value is not None
    if has_head and CLASS not in outputs:
        raise ValueError(f"{content.place} has a head for classes, which it does not answer")
    return Stage(
        name=content["name"].text(),
        outputs=outputs,
        preprocessing=read_preprocessing(content["preprocessing"]),
        mean=tuple(value.number(0, 255) for value in content["mean"].entries(min(channels, 3), 3)),
        std=tuple(value.number(1e-6, 255) for value in content["std"].entries(min(channels, 3), 3)),
        channels=channels,
        files={kind: listed(name) for kind, name in names.items()},
        classes=tuple(classes),
        overlay=None if overlay.value is None else read_overlay(overlay, channels),
        head=_read_head(listed(head), len(classes)) if has_head and head is not None else None,
        flips=flips,
    )


def _check_together(stages: dict[str, Stage], classes: Sequence[str]) -> None:
    """Refuse networks that make no bundle, with a ValueError."""
    if not 0 < len(stages) <= _MOST:
        raise ValueError(f"networks has {len(stages)} entries, not 1 to {_MOST}")
    if any(stage.classifies for stage in stages.values()) != bool(classes):
        raise ValueError("classes and the outputs of the networks do not fit")
    files = [file for stage in stages.values() for file in set(stage.files.values())]
    if len(set(files)) < len(files):
        raise ValueError("two networks have the same file, which would count twice")
    for name, stage in stages.items():
        if stage.outlines and stage.channels == 4:
            raise ValueError(f"{name} outlines the lesion and takes a mask")
        needs_mask = stage.overlay is not None and stage.overlay.applies_to("test")
        if needs_mask and not any(other.outlines for other in stages.values()):
            raise ValueError(f"{name} takes a mask, which no network gives")


def _read_head(file: Path, classes: int) -> np.ndarray:
    try:
        with open_regular(file) as stream:
            head = read_array(stream, os.fstat(stream.fileno()).st_size)
    except (OSError, UserError, ValueError, EOFError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    if head.dtype.kind != "f" or head.ndim != 2 or len(head) != classes or not np.isfinite(head).all():
        raise ValueError(f"{file.name} does not hold a row of finite weights for each of the {classes} classes")
    return head.astype(np.float32)
