"""Write a network as an ONNX file, float32 or in 8 bits; the file names nothing of the machine that made it."""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from bus_lightning.export.heads import Head, WithFeatures

_INPUT, _FEATURES = "image", "features"
_LEAST_HALVED, _MOST_HALF = 256, 65504.0  # values of a tensor that is stored in 16 bits, and the largest such number
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def export_onnx(
    net: nn.Module, head: Head | None, channels: int, size: int, file: Path, outputs: Sequence[str]
) -> None:
    """Export a network on the CPU for batches of any size, (B, channels, size, size) float32.

    `outputs` names its outputs: mask, class, or both. With a head, the feature map becomes the last output.
    """
    whole = net if head is None else WithFeatures(net, head)
    outputs = [*outputs] if head is None else [*outputs, _FEATURES]
    example = torch.zeros(2, channels, size, size)  # a batch of 1 would become a constant
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            whole.eval(), (example,), input_names=[_INPUT], output_names=outputs, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )  # fmt: skip
    assert program is not None
    _save(program.model_proto, file)


def quantise(file: Path, out: Path, images: Sequence[np.ndarray]) -> None:
    """Quantise weights and activations to 8 bits with NNCF, except for the layers that give the logits.

    `out` has QuantizeLinear and DequantizeLinear; the ranges come from training images, (1, C, S, S) float32 each.
    """
    model = onnx.load(file)
    with _quietly(), redirect_stdout(io.StringIO()):  # NNCF prints a progress bar
        import nncf

        quantised = nncf.quantize(
            model,
            nncf.Dataset(images, lambda image: {_INPUT: image}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=_last_layers(model)),
        )
    _save(quantised, out)


def halve_weights(file: Path, out: Path) -> None:
    """Store the weights of an fp32 network in 16 bits, half the size; they are converted back when it is loaded."""
    model = onnx.load(file)
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LEAST_HALVED or np.abs(values).max() > _MOST_HALF:
            continue
        name, stored = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], f"{name}.whole", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    _save(model, out)


def _last_layers(model: onnx.ModelProto) -> list[str]:
    """Name the layers that give the logits: they are cheap, and their rounding would directly change them."""
    makers = {output: node for node in model.graph.node for output in node.output}
    names = (_layer_behind(output.name, makers) for output in model.graph.output if output.name != _FEATURES)
    return [name for name in names if name is not None]


def _layer_behind(value: str, makers: Mapping[str, onnx.NodeProto]) -> str | None:
    """Name the layer that a value was computed from, by the first inputs that lead to one; None if none does."""
    node = makers.get(value)
    if node is None:  # a weight, such as a scale of the logits, or the image
        return None
    if node.op_type in _LAYERS:
        return str(node.name)
    return next((name for each in node.input if (name := _layer_behind(each, makers)) is not None), None)


def _save(model: onnx.ModelProto, file: Path) -> None:
    """Save a model without the stack traces of the export, which name folders of this machine."""
    model.doc_string = ""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.doc_string = ""
    for function in model.functions:
        function.ClearField("metadata_props")
        for node in function.node:
            node.ClearField("metadata_props")
    onnx.checker.check_model(model)
    onnx.save(model, file)


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide the warnings and log lines of the exporting libraries."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
