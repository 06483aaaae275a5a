"""What the tests of the page in the browser share: bundles of each kind of network, pictures, and how to ask it."""

import base64
import json
import struct
import threading
import zlib
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from page_server import THRESHOLDS, save
from PIL import Image
from tiny_bundle import CLASSES, MEAN, SIZE, STD, Bright, SmallClassifier, make_bundle, speckled, with_disc
from torch import nn

from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.diagnosis.bundle import CARD, FORMAT, MANIFEST, VERSION
from bus_lightning.diagnosis.doubt import fit_reference
from bus_lightning.diagnosis.page.local.runtime import SHA256
from bus_lightning.diagnosis.page.local.runtime import VERSION as ENGINE
from bus_lightning.export.heads import find_head
from bus_lightning.export.making import new_bundle
from bus_lightning.export.to_onnx import export_onnx

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "kept"
RUNTIME = ROOT / "build" / "onnxruntime-web"


def find_engine():
    """Return the folder of onnxruntime-web; without it, the test is skipped."""
    if not all((RUNTIME / name).is_file() for name in SHA256):
        pytest.skip(f"needs onnxruntime-web: make {RUNTIME.relative_to(ROOT)}/{ENGINE}")
    return RUNTIME


class Joint(nn.Module):
    """A tiny joint network: the logits of the mask and those of the classes."""

    def __init__(self):
        super().__init__()
        self.outlines, self.classifies = Bright(), SmallClassifier(3)

    def forward(self, image):
        return self.outlines(image + 0.2 * image.roll(3, dims=3)), self.classifies(image)


def make_joint_bundle(out):
    """Write a bundle of one tiny joint network with a head, which averages over mirror images and pads."""
    net, images = Joint().eval(), speckled()
    with new_bundle(out) as folder:
        head = find_head(net, torch.rand(2, 3, SIZE, SIZE))
        export_onnx(net, head, 3, SIZE, folder / "joint.onnx", ("mask", "class"))
        np.save(folder / "head.npy", head.weights)
        (folder / CARD).write_text("A tiny joint bundle.\n")
        stage = {
            "name": "joint", "preprocessing": asdict(Preprocessing(size=SIZE, resize="pad")), "mean": MEAN, "std": STD,
            "channels": 3, "files": {"fp32": "joint.onnx"}, "overlay": None, "outputs": ["mask", "class"],
            "classes": CLASSES, "head": "head.npy", "flips": True,
        }  # fmt: skip
        content = {
            "format": FORMAT, "version": VERSION, "classes": CLASSES, "temperature": 1.5, "networks": {"joint": stage},
            "thresholds": THRESHOLDS, "reference": fit_reference(images[4:], images[:4]), "default_precision": "fp32",
            "variants": {}, "no_lesion": 0.1,
        }  # fmt: skip
        (folder / MANIFEST).write_text(json.dumps(content))
    return out


MAKERS = {
    "kept pair": lambda out: KEPT / "bundle",
    "joint": make_joint_bundle,
    "mask as a channel": lambda out: make_bundle(out, Overlay(style="channel", source="predicted"), channels=4),
    "crop": lambda out: make_bundle(out, Overlay(style="crop", source="predicted")),
    "fill": lambda out: make_bundle(out, Overlay(style="fill", source="predicted", color=[9, 200, 80])),
    "class only": lambda out: make_bundle(out, only="classifier"),
    "outline only": lambda out: make_bundle(out, only="segmenter", with_head=True),
}


def save_pictures(folder):
    """Save pictures that shrink, grow, and do one of both on each side; with colours, without a lesion, and a JPEG."""
    plain = speckled(1, seed=3)[0]
    made = {
        "shrinks.png": with_disc(plain), "grows.png": with_disc(plain)[40:100, 60:118],
        "both.png": with_disc(plain)[:, 62:120], "whole.png": with_disc(plain)[:128, :128],
        "nothing.png": plain, "two.png": with_disc(with_disc(plain, (40, 40), 14), (110, 0), 20),
    }  # fmt: skip
    colored = with_disc(plain)
    colored[5:20, 5:60] = (250, 220, 10)
    made["colored.png"] = colored
    paths = [save(image, folder / name) for name, image in made.items()]
    Image.fromarray(with_disc(plain)).save(folder / "photo.jpg", quality=90)
    return [*paths, folder / "photo.jpg"]


def png(width, height, depth=8, kind=0):
    """Write the header of a PNG that announces a size, and its end."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@contextmanager
def recording_server():
    """Run a server that takes everything from everybody: its address, and what has arrived there."""
    arrived = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            arrived.append(self.path)
            self.send_response(200)
            self.send_header("access-control-allow-origin", "*")
            self.send_header("cross-origin-resource-policy", "cross-origin")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 (the library's name)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", arrived
        server.shutdown()
        thread.join()


# Diagnoses in a worker like that of the page, and gives its numbers.
ANSWER = """async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    window.worker ??= new Worker("worker.js", {type: "module"});
    const data = await new Promise((resolve) => {
        worker.onmessage = ({data}) => data.kind === "ready" || resolve(data);
        worker.postMessage({number: 1, file: new Blob([bytes])});
    });
    const {diagnosis, image, line, reason} = data;
    if (!diagnosis) return {line, reason};
    return {
        ...diagnosis, probabilities: Object.fromEntries(diagnosis.probabilities), image: [...image.data],
        mask: diagnosis.mask && [...diagnosis.mask.data], heat: diagnosis.heat && [...diagnosis.heat],
        doubts: diagnosis.doubts.map(({code, answer}) => code === "no_lesion_but" ? `${code}_${answer}` : code),
    };
}"""


def ask(page, path):
    return page.evaluate(ANSWER, base64.b64encode(path.read_bytes()).decode())


def compare_measurements(actual, expected, name):
    assert actual["lesions"] == expected.lesions, name
    assert actual["touchesBorder"] == expected.touches_border, name
    if not expected.lesions:
        return
    box = [actual["box"][side] for side in ("top", "left", "height", "width")]
    assert np.abs(np.subtract(box, expected.box)).max() <= 1, name
    assert actual["area"] == pytest.approx(expected.area_px, rel=0.02), name
    assert actual["longAxis"] == pytest.approx(expected.long_axis_px, abs=1.5), name
    assert actual["shortAxis"] == pytest.approx(expected.short_axis_px, abs=3), name
