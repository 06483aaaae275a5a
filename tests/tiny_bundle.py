"""A bundle of tiny networks, made in a second: the segmenter outlines what is bright, the classifier is random."""

import functools
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.diagnosis.bundle import CARD, FORMAT, HEAD, MANIFEST, VERSION
from bus_lightning.diagnosis.doubt import fit_reference
from bus_lightning.export.heads import find_head
from bus_lightning.export.making import new_bundle
from bus_lightning.export.to_onnx import export_onnx

CLASSES = ["benign", "malignant", "normal"]
SIZE = 64
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Bright(nn.Module):
    """Logits (B, 1, S, S) that are above 0 where a grey level is above 178."""

    def forward(self, image):
        return (image.mean(dim=1, keepdim=True) - 0.4) * 20


class SmallClassifier(nn.Sequential):
    """Three classes by global average pooling."""

    def __init__(self, channels=3):
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(channels, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip


def speckled(number=24, seed=0, shape=(150, 180)):
    """Draw grey noise that gets darker with depth, which stands for ultrasound."""
    rng = np.random.default_rng(seed)
    depth = np.linspace(110, 40, shape[0])[:, None]
    drawn = [np.clip(rng.gamma(4, depth / 4, shape), 0, 170).astype(np.uint8) for _ in range(number)]
    return [np.repeat(image[..., None], 3, axis=2) for image in drawn]


def with_disc(image, center=(70, 90), radius=25):
    """Draw a bright disc, the lesion, around a row and a column."""
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    drawn = image.copy()
    drawn[(rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2] = 230
    return drawn


@functools.cache
def exported(kind, channels, with_head):
    """Export a network once for all bundles: the ONNX file's bytes, and the head."""
    net = kind() if kind is Bright else kind(channels)
    head = find_head(net.eval(), torch.rand(2, channels, SIZE, SIZE)) if with_head else None
    with TemporaryDirectory() as folder:
        outputs = ("mask",) if kind is Bright else ("class",)
        export_onnx(net.eval(), head, channels, SIZE, Path(folder) / "net.onnx", outputs)
        return (Path(folder) / "net.onnx").read_bytes(), head


def make_bundle(
    out,
    overlay=None,
    channels=3,
    temperature=2.0,
    thresholds=None,
    with_head=True,
    trained_on=None,
    card="A tiny bundle.\n",
    only=None,
):
    """Write a bundle of fp32 alone; its reference are images of `speckled`.

    Without `trained_on` it says what it was trained on as little as bundles of earlier versions do. `only` names the
    one network that it has.
    """
    (segmenter, _), (classifier, head) = exported(Bright, 3, False), exported(SmallClassifier, channels, with_head)
    images = speckled()
    stage = {"preprocessing": asdict(Preprocessing(size=SIZE)), "mean": MEAN, "std": STD, "flips": False}
    with new_bundle(out) as folder:
        (folder / "segmenter.onnx").write_bytes(segmenter)
        (folder / "classifier.onnx").write_bytes(classifier)
        if head:
            np.save(folder / HEAD, head.weights)
        (folder / CARD).write_text(card)
        content = {
            "format": FORMAT, "version": VERSION, "classes": CLASSES, "temperature": temperature,
            "networks": {
                "segmenter": stage | {"name": "bright", "channels": 3, "files": {"fp32": "segmenter.onnx"},
                                      "overlay": None, "outputs": ["mask"], "classes": [], "head": None},
                "classifier": stage | {"name": "small", "channels": channels, "files": {"fp32": "classifier.onnx"},
                                       "overlay": asdict(overlay or Overlay()), "outputs": ["class"],
                                       "classes": CLASSES, "head": HEAD if head else None},
            },
            "thresholds": thresholds, "reference": fit_reference(images[4:], images[:4]),
            "default_precision": "fp32", "variants": {},
        }  # fmt: skip
        content |= {} if trained_on is None else {"trained_on": trained_on}
        if only:
            content["networks"] = {only: content["networks"][only]}
        if only == "segmenter":
            content |= {"classes": [], "temperature": None, "thresholds": None}
            (folder / HEAD).unlink()
        for name in {"segmenter", "classifier"} - content["networks"].keys():
            (folder / f"{name}.onnx").unlink()
        (folder / MANIFEST).write_text(json.dumps(content))
    return out
