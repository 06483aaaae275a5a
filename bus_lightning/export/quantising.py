"""Make the 8-bit variant of an ONNX file, with NNCF."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnx

from bus_lightning.diagnosis import engine
from bus_lightning.export.to_onnx import INPUT, LOGITS, quietly, save_onnx

__all__ = ["engine", "quantise"]  # the engine has to come before NNCF, whose telemetry it keeps silent
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantise(file: Path, out: Path, images: Sequence[np.ndarray]) -> None:
    """Write weights and activations in 8 bits, but for the layer that gives the logits.

    Args:
        file: The network, fp32.
        out: To write; ONNX with QuantizeLinear and DequantizeLinear.
        images: Training images to find the ranges with, (1, C, S, S) float32 each.
    """
    model = onnx.load(file)
    with quietly(), redirect_stdout(io.StringIO()):  # NNCF shows a bar of its own
        import nncf

        quantised = nncf.quantize(
            model,
            nncf.Dataset(images, lambda image: {INPUT: image}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=[_last_layer(model)]),
        )
    save_onnx(quantised, out)


def _last_layer(model: onnx.ModelProto) -> str:
    """Name the layer that gives the logits: it takes next to no time, and its rounding would go straight through."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers[LOGITS]
    while node.op_type not in _LAYERS:
        node = makers[node.input[0]]
    return str(node.name)
