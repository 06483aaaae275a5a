"""Bundles that come from elsewhere; their checksums are right, so that the content itself is checked."""

import hashlib
import io
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.attack.broken import change, everywhere, of_json
from benchmarks.attack.marking import Marker
from benchmarks.attack.mutations import cut, flip

_HEAD = "classifier.head.npy"
_NAN, _INFINITY = float("nan"), float("inf")
_VALUES: dict[str, list[Any]] = {
    "temperature": [0, -1, _NAN, _INFINITY, 1e-320, "x", [], True],
    "classes": [[], ["a"], ["a", "a", "a"], ["benign", "malignant"], "benign", [[]] * 3, ["x"] * 10_000],
    "version": [99, "x", None, -1],
    "thresholds": [[], {"malignant": None}, {"malignant": {"threshold": _NAN}}, "x"],
    "reference": [{}, None, [1], {"center": "x"}],
    "default_precision": ["fp64", None, []],
    "variants": [None, [], "x"],
    "trained_on": ["x", [], {"images": -1}],
    "scale": [{"bits": 7}, {"bits": 10**9}, {"white": 0}, []],
    "no_lesion": [-1, 2, _NAN, "x"],
    "calibrated_on": ["x", 7, []],
    "networks": [{}, [], None, "x"],
    "networks.segmenter.outputs": [[], ["class"], ["mask", "mask"], ["x"], "mask"],
    "networks.segmenter.flips": [None, 1, "x"],
    "networks.classifier.classes": [[], ["a", "b", "c"], "x"],
    "networks.classifier.head": ["../bundle.json", "/etc/hostname", 7, "bundle.json"],
    "networks.segmenter.mean": [[_NAN] * 3, [1], "xxx", [_INFINITY] * 3],
    "networks.segmenter.std": [[0, 0, 0], [_NAN] * 3, [-1] * 3, []],
    "networks.segmenter.channels": [0, 2, 10**9, "3"],
    "networks.segmenter.preprocessing.size": [0, -1, 10**6, "x", 2**31],
    "networks.segmenter.files": [{}, {"fp32": "../../x"}, {"fp32": "/etc/hostname"}, {"fp64": "segmenter.onnx"}, "x"],
    "networks.classifier.overlay": [None, {"style": "x"}, {"alpha": _NAN}, []],
}


def foreign_bundles(intact: Path, folder: Path, markers: Path, rng: Random) -> list[Path]:
    """Copy a bundle many times and make each copy hostile.

    Args:
        intact: A bundle.
        folder: New folder of the copies.
        markers: Folder in which no file may appear.
        rng: Where chance comes from.

    Returns:
        The copies.
    """
    made: list[Path] = []
    content = json.loads((intact / "bundle.json").read_text())
    network = content["networks"]["segmenter"]["files"][content["default_precision"]]

    def copy(name: str, harm: Callable[[Path], Any], seal: bool = True) -> None:
        bundle = folder / name
        shutil.copytree(intact, bundle)
        harm(bundle)
        if seal:
            _seal(bundle)
        made.append(bundle)

    for key, values in _VALUES.items():
        for k, value in enumerate(values):
            copy(f"{key}-{k}", lambda bundle, key=key, value=value: change(bundle / "bundle.json", key, value))
    for name, damage in (everywhere() | of_json()).items():
        copy(f"manifest-{name}", lambda bundle, damage=damage: damage(bundle / "bundle.json"))
    for file in ("SHA256SUMS", network, _HEAD, "MODEL_CARD.md"):
        for name, damage in everywhere().items():
            copy(f"{file}-{name}", lambda bundle, file=file, damage=damage: damage(bundle / file),
                 seal=file != "SHA256SUMS" and name not in ("pipe", "endless", "loop", "folder"))  # fmt: skip
    for name, content in _heads(markers / "head").items():
        copy(f"head-{name}", lambda bundle, content=content: (bundle / _HEAD).write_bytes(content))
    for k in range(20):
        mutate = (cut, flip)[k % 2]
        copy(f"network-{k}", lambda bundle, mutate=mutate: _mutate(bundle / network, mutate, rng))
    copy("unlisted", lambda bundle: (bundle / "more.txt").write_text("x"), seal=False)
    copy("changed", lambda bundle: (bundle / "MODEL_CARD.md").write_text("x"), seal=False)
    copy("link", lambda bundle: (bundle / "link").symlink_to("/etc/hostname"), seal=False)
    copy("outside", lambda bundle: _add_sum(bundle, "../../outside"), seal=False)
    return made


def _heads(marker: Path) -> dict[str, bytes]:
    """Write arrays that announce too much, do not fit, or hold pickled code that would leave a marker."""

    def announcing(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
        header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(64)

    def saved(array: np.ndarray) -> bytes:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=True)
        return stream.getvalue()

    return {
        "large": announcing((100_000, 300_000)),
        "larger": announcing((2**40, 2**20)),
        "negative": announcing((-3, 16)),
        "odd-kind": announcing((3, 16), "<f3"),
        "pickled": saved(np.array([[Marker(marker)]], dtype=object)),
        "only-pickled": pickle.dumps(Marker(marker)),
        "nan": saved(np.full((3, 8), np.nan, np.float32)),
        "infinite": saved(np.full((3, 8), np.inf, np.float32)),
        "other-shape": saved(np.zeros((5, 5), np.float32)),
        "flat": saved(np.zeros(8, np.float32)),
        "texts": saved(np.array([["a", "b"]] * 3)),
    }


def _mutate(path: Path, mutate: Callable[[str, bytes, Random], bytes], rng: Random) -> None:
    path.write_bytes(mutate(path.name, path.read_bytes(), rng))


def _seal(bundle: Path) -> None:
    """Write the checksums of what is there now, as whoever made the bundle could."""
    lines = []
    for path in sorted(bundle.rglob("*")):
        if path.name != "SHA256SUMS" and path.is_file() and not path.is_symlink():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{digest}  {path.relative_to(bundle).as_posix()}\n")
    (bundle / "SHA256SUMS").write_text("".join(lines))


def _add_sum(bundle: Path, name: str) -> None:
    with (bundle / "SHA256SUMS").open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
