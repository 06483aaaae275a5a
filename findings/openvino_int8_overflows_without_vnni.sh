#!/usr/bin/env bash
# OpenVINO 2026.4.1 (x86-64 Linux, Python 3.11), on a CPU with AVX2 and without VNNI (such as AMD Zen 1 to 3):
# an 8-bit ONNX convolution gives other answers than on a CPU with VNNI.
#
# Expected: 8-bit networks compute with integers, whose sums are exact: one file gives the same answers everywhere.
# Seen: products of 8-bit levels are added in pairs in 16 bits, where they saturate without a warning. With weights that
# use all 8 bits, as quantising tools write them, the answers are far off; with weights of 7 bits they are exact.
# A loss that was measured on one CPU says nothing about the other. On a CPU with VNNI, both are exact, and this script
# checks that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1 onnx==1.23.2
"$folder/venv/bin/python" - "$folder/network.onnx" <<'PY'
import sys

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper


def answer(levels, weights):
    """Compute a 1x1 convolution of (1, 64, 16, 16) levels, 0 to 255, with (32, 64, 1, 1) weights, -128 to 127."""
    def scalar(name, value):
        return numpy_helper.from_array(np.array(value), name)

    nodes = [
        helper.make_node("QuantizeLinear", ["image", "one", "zero"], ["levels"]),
        helper.make_node("DequantizeLinear", ["levels", "one", "zero"], ["whole"]),
        helper.make_node("DequantizeLinear", ["stored", "small", "none"], ["weights"]),
        helper.make_node("Conv", ["whole", "weights"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, levels.shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 32, 16, 16])],
        [scalar("one", np.float32(1)), scalar("zero", np.uint8(0)), scalar("small", np.float32(1 / 128)),
         scalar("none", np.int8(0)), numpy_helper.from_array(weights.astype(np.int8), "stored")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), sys.argv[1])
    core = openvino.Core()
    network = core.compile_model(core.read_model(sys.argv[1]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return network(levels)[0]


rng, errors = np.random.default_rng(0), {}
levels = rng.integers(0, 256, (1, 64, 16, 16)).astype(np.float32)
for bits, largest in ((8, 127), (7, 64)):
    weights = rng.integers(-largest, largest + 1, (32, 64, 1, 1)).astype(np.float32)
    exact = np.einsum("oi,bihw->bohw", weights[:, :, 0, 0], levels) / 128
    errors[bits] = float(np.abs(answer(levels, weights) - exact).mean() / np.abs(exact).mean())
with open("/proc/cpuinfo") as file:
    flags = file.read()
has_vnni = "avx512_vnni" in flags or "avx_vnni" in flags
print(f"openvino {openvino.__version__}, the CPU {'has' if has_vnni else 'lacks'} VNNI")
print(", ".join(f"weights of {bits} bits: mean error {error:.2%}" for bits, error in errors.items()))
assert errors[7] < 1e-5, "the finding has changed"
assert (errors[8] > 0.005) != has_vnni, "the finding has changed"
PY
