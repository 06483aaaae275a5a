"""Checkpoints that come from elsewhere: pickled code, other formats, cut off, of another network."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.attack.broken import write_files
from benchmarks.attack.marking import Marker
from benchmarks.attack.mutations import cut, flip


def hostile_checkpoints(intact: Path, folder: Path, markers: Path, rng: Random) -> list[Path]:
    """Write hostile copies of a checkpoint into a new folder.

    Args:
        intact: A run's `best.ckpt`.
        folder: Where.
        markers: Folder in which no file may appear.
        rng: Where chance comes from.

    Returns:
        The files.
    """
    import torch

    folder.mkdir(parents=True)
    content = torch.load(intact, weights_only=True)
    weights = content["state_dict"]
    net = torch.nn.Linear(2, 2)
    others: dict[str, Any] = {
        "pickled-code": Marker(markers / "checkpoint"),
        "pickled-code-inside": content | {"more": Marker(markers / "checkpoint-inside")},
        "pickled-network": net,
        "list": [1, 2, 3],
        "text": "hello",
        "empty-dict": {},
        "no-tensors": {"state_dict": {"net.a": 1}},
        "no-names": {"state_dict": list(weights.values())},
        "other-network": {"state_dict": {"net.weight": torch.zeros(2, 2)}},
        "other-shapes": content | {"state_dict": {name: value[:1] for name, value in weights.items() if value.ndim}},
        "not-numbers": content | {"state_dict": {name: value * float("nan") for name, value in weights.items()}},
        "whole-numbers": content | {"state_dict": {name: value.int() for name, value in weights.items()}},
    }
    makers: dict[str, Callable[[], bytes]] = {
        **{name: lambda value=value: _saved(value) for name, value in others.items()},
        "old-format": lambda: _saved(content, _use_new_zipfile_serialization=False),
        "old-format-code": lambda: _saved(others["pickled-code"], _use_new_zipfile_serialization=False),
        "torchscript": lambda: _scripted(net),
        "archive": _archive,
        **{f"safetensors-{name}": lambda data=data: data for name, data in _safetensors().items()},
        **{f"cut-{k}": lambda: cut("", intact.read_bytes(), rng) for k in range(8)},
        **{f"flipped-{k}": lambda: flip("", intact.read_bytes(), rng) for k in range(8)},
    }
    return write_files(folder, "ckpt", makers, intact.read_bytes())


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    """Write a file in the format of safetensors: the length of the header, the header, the data."""
    return struct.pack("<Q", len(header)) + header + data


def _safetensors() -> dict[str, bytes]:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    return {
        "other-network": safetensors(json.dumps({"weight": entry}).encode(), bytes(16)),
        "long-header": struct.pack("<Q", 2**62) + b"{}",
        "no-header": struct.pack("<Q", 100),
        "large": safetensors(json.dumps({"weight": entry | {"shape": [2**31, 2**31]}}).encode(), bytes(16)),
        "outside": safetensors(json.dumps({"weight": entry | {"data_offsets": [0, 2**40]}}).encode(), bytes(16)),
        "nested": safetensors(b"[" * 100_000, bytes(16)),
        "not-json": safetensors(b"hello", bytes(16)),
    }


def _saved(value: Any, **options: Any) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def _scripted(net: Any) -> bytes:
    import warnings

    import torch

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and still shared
        torch.jit.save(torch.jit.script(net), stream)
    return stream.getvalue()


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        zipped.writestr("archive/data.pkl", b"hello")
    return stream.getvalue()
