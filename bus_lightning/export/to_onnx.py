"""Write a network as an ONNX file; the file names nothing of the machine that made it."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from bus_lightning.export.heads import Head, WithFeatures

INPUT, FEATURES = "image", "features"
_LEAST_HALVED, _MOST_HALF = 256, 65504.0  # values of a tensor that is stored in 16 bits, and the largest such number


def export_onnx(
    net: nn.Module, head: Head | None, channels: int, size: int, file: Path, outputs: Sequence[str]
) -> None:
    """Export a network on the CPU for batches of any size, (B, channels, size, size) float32.

    `outputs` names its outputs: mask, class, or both. With a head, the feature map becomes the last output.
    """
    whole = net if head is None else WithFeatures(net, head)
    outputs = [*outputs] if head is None else [*outputs, FEATURES]
    example = torch.zeros(2, channels, size, size)  # a batch of 1 would become a constant
    with quietly(), torch.no_grad():
        program = torch.onnx.export(
            whole.eval(), (example,), input_names=[INPUT], output_names=outputs, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )  # fmt: skip
    assert program is not None
    save_onnx(program.model_proto, file)


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
    save_onnx(model, out)


def save_onnx(model: onnx.ModelProto, file: Path) -> None:
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
def quietly() -> Iterator[None]:
    """Hide the warnings and log lines of the exporting libraries."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
