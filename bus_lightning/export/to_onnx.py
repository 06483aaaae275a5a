"""Write a network as an ONNX file that says nothing of the machine it was made on."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from bus_lightning.export.heads import Head, WithFeatures

INPUT, LOGITS, FEATURES = "image", "logits", "features"


def export_onnx(net: nn.Module, head: Head | None, channels: int, size: int, file: Path) -> None:
    """Export a network, for batches of any number of images.

    Args:
        net: For evaluation, on the CPU.
        head: Where there is one, the feature map becomes a second output.
        channels: Of the images, (B, channels, size, size) float32.
        size: Their side.
        file: To write.
    """
    whole = net if head is None else WithFeatures(net, head)
    outputs = [LOGITS] if head is None else [LOGITS, FEATURES]
    example = torch.zeros(2, channels, size, size)  # of two: one would be taken for a constant
    with quietly(), torch.no_grad():
        program = torch.onnx.export(
            whole.eval(), (example,), input_names=[INPUT], output_names=outputs, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )  # fmt: skip
    assert program is not None
    save_onnx(program.model_proto, file)


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


def torch_answers(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Answer images with PyTorch, (B, C, H, W) float32 -> logits."""
    with torch.inference_mode():
        logits: np.ndarray = net(torch.from_numpy(images)).numpy()
    return logits


@contextmanager
def quietly() -> Iterator[None]:
    """Keep warnings and news of the exporting libraries to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
