"""A bundle written by hand, and how a forger changes it."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx

from bus_lightning.core.files import checksum
from bus_lightning.diagnosis.bundle import CHECKSUMS, FORMAT, MANIFEST, files_of

STAGE = {
    "preprocessing": {"size": 8, "resize": "pad", "denoise": "none", "contrast": "none", "parts": ["test"]},
    "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "channels": 3, "overlay": None,
}  # fmt: skip


def write_onnx(file: Path) -> None:
    """A network that averages the channels of any number of images, and returns them too."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    image = helper.make_tensor_value_info("image", kind, ["batch", 3, 8, 8])
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in ("logits", "features")]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["logits"], axes=[1], keepdims=1),
        helper.make_node("Relu", ["image"], ["features"]),
    ]
    graph = helper.make_graph(nodes, "mean", [image], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    onnx.save(model, file)


def seal(folder: Path) -> None:
    (folder / CHECKSUMS).write_text("".join(f"{checksum(folder / name)}  {name}\n" for name in files_of(folder)))


def rewrite(folder: Path, **news) -> None:
    """Change the manifest and its checksum, as a forger would."""
    content = json.loads((folder / MANIFEST).read_text()) | news
    (folder / MANIFEST).write_text(json.dumps(content))
    seal(folder)


def write_bundle(folder: Path) -> Path:
    """Write a bundle of two networks with everything that a bundle of version 2 may hold."""
    (folder / "samples").mkdir(parents=True)
    for name in ("segmenter", "classifier"):
        write_onnx(folder / f"{name}.onnx")
        shutil.copy(folder / f"{name}.onnx", folder / f"{name}.int8.onnx")
    np.save(folder / "head.npy", np.ones((2, 5), np.float32))
    (folder / "MODEL_CARD.md").write_text("# Card\n")
    (folder / "samples" / "phantom.png").write_bytes(b"picture")
    stages = {
        name: {
            **STAGE,
            "name": name,
            "files": {"fp32": f"{name}.onnx", "bf16": f"{name}.onnx", "int8": f"{name}.int8.onnx"},
        }
        for name in ("segmenter", "classifier")
    }
    stages["classifier"] = stages["classifier"] | {"overlay": {"style": "crop", "source": "predicted", "margin": 0.5}}
    content = {"format": FORMAT, "version": 2, "classes": ["benign", "malignant"], **stages, "head": "head.npy",
               "temperature": 1.5, "thresholds": {"malignant": {"threshold": 0.3}}, "default_precision": "int8",
               "variants": {"int8": {"ms": 1.0}}, "reference": {"threshold": 2.0}}  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(content))
    seal(folder)
    return folder
