"""Quantise a network to 8 bits, and keep those layers in float32 whose rounding changes its answers most."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from scipy.special import expit, softmax
from tqdm import tqdm

from bus_lightning.core.errors import UserError
from bus_lightning.core.randomness import shuffled
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.diagnosis.engine import openvino
from bus_lightning.diagnosis.stage import CLASS, MASK
from bus_lightning.export.to_onnx import FEATURES, INPUT, quietly, save_onnx

_USED = 128  # training images
LEAST_AGREEMENT = 0.99  # with the answers in float32
_TRIED = 3  # groups of layers that are tried in float32: the first ones gain most
_COMPARED = 64  # images that measure the agreement
_RANKED = 32  # those of the least agreement, which rank the layers
_LEAST_SHARE = 0.75  # of the layers that can be in 8 bits: with fewer, little time is saved
_SPECK = 1e-3  # share of an image: the agreement of two almost empty masks does not hang on less
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Cast")  # of weights


class _Trials:
    """Agreement of the networks that NNCF tries with the network in float32."""

    def __init__(self, model: onnx.ModelProto, images: Sequence[np.ndarray], outputs: Sequence[str]) -> None:
        self.outputs, self.expected = outputs, list(_logits(model, images, outputs))
        self.pairs = [*zip(images, self.expected, strict=True)]
        self.least_layers = 0.0  # in 8 bits, of a mix
        self.best = 0.0  # mean of all compared images that a network with layers in 8 bits has reached
        self.progress = tqdm(desc="quantising", unit="trial", disable=None, leave=False)

    def score(self, candidate: onnx.ModelProto, pairs: Iterable[Any]) -> tuple[float, list[float]]:
        """Return the mean and the values of the images; 0 for a network with too few layers in 8 bits."""
        self.progress.update()
        images, expected = zip(*pairs, strict=True)
        layers, _ = _count_layers(candidate)  # none: the network in float32
        self.least_layers = self.least_layers or _LEAST_SHARE * layers  # NNCF tries all layers in 8 bits first
        if 0 < layers < self.least_layers:
            return 0.0, [0.0] * len(images)
        values = [_agreement(*each) for each in zip(_logits(candidate, images, self.outputs), expected, strict=True)]
        mean = float(np.mean(values))
        if layers and len(values) == len(self.pairs[:_COMPARED]):
            self.best = max(self.best, mean)
        return mean, values


def quantise(
    file: Path, out: Path, images: Sequence[np.ndarray], outputs: Sequence[str], least: float = LEAST_AGREEMENT
) -> tuple[int, int]:
    """Quantise weights and activations to 8 bits with NNCF, except for the layers that give the logits.

    If its answers agree too little with those in float32, NNCF ranks the groups of layers by the agreement that is
    gained when that group alone stays in float32. Up to three groups stay so, if that helps and three quarters of the
    layers remain in 8 bits. Then the biases of the classes are shifted, so that their mean logits are those in
    float32. Weights have 7 bits: sums of products of 8 bits overflow on CPUs without instructions for them (VNNI), and
    the answers would depend on the CPU. `out` has QuantizeLinear and DequantizeLinear.

    Args:
        file: The network in float32.
        out: The file to write.
        images: Training images, (1, C, S, S) float32 each; the first 64 measure the agreement.
        outputs: What the first outputs of the network are: mask, class, or both.
        least: Agreement, in [0, 1], that is enough; 0 leaves no further layer in float32.

    Returns:
        The number of layers in 8 bits, and of all.

    Raises:
        UserError: When the network in float32 gives a number that is not finite for one of the images.
    """
    model = onnx.load(file)
    trials = _Trials(model, images, outputs)
    if not all(np.isfinite(logits).all() for answer in trials.expected for logits in answer.values()):
        raise UserError(f"{file.stem}: the network gives no finite number for a training image: it cannot be exported.")
    with trials.progress, quietly(), redirect_stdout(io.StringIO()):  # NNCF prints progress bars
        quantised = _quantise(model, images, trials, least)
        reached, _ = trials.score(quantised, trials.pairs[:_COMPARED])
        if reached < min(least, trials.best):  # NNCF returns its last trial, even if an earlier one was better
            quantised = _quantise(model, images, trials, trials.best)
        if CLASS in outputs:
            given = _logits(quantised, images, outputs)
            shifts = [wanted[CLASS] - got[CLASS] for wanted, got in zip(trials.expected, given, strict=True)]
            _add_to_classes(quantised, np.mean(shifts, axis=0))
    save_onnx(quantised, out)
    return _count_layers(quantised)


def _quantise(model: onnx.ModelProto, images: Sequence[np.ndarray], trials: _Trials, least: float) -> onnx.ModelProto:
    """Let NNCF quantise, and keep groups of layers in float32 until the agreement is enough or three are tried."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(images, lambda image: {INPUT: image}),
        nncf.Dataset(trials.pairs[:_COMPARED]),
        trials.score,
        max_drop=1 - least,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=_last_layers(model)),
        advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE,
            activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM,
        ),
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            max_num_iterations=_TRIED, ranking_subset_size=_RANKED, num_ranking_workers=1
        ),
    )


def training_images(data: BusDataModule, train: Sequence[str]) -> list[np.ndarray]:
    """Choose images that a network is quantised with, without augmentation: (1, C, S, S) float32 each.

    Args:
        data: The images, as the network takes them.
        train: The ids of its training images.
    """
    dataset, positions = data.parts["train"], {id_: position for position, id_ in enumerate(train)}
    chosen = shuffled(positions, "ranges")[:_USED]
    return [data.collate([dataset[positions[id_]]])["image"].numpy() for id_ in chosen]


def _logits(
    model: onnx.ModelProto, images: Sequence[np.ndarray], outputs: Sequence[str]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the logits of each output for each image, as OpenVINO computes them in a bundle."""
    core = openvino.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU", options)
    request = compiled.create_infer_request()
    for image in images:
        request.infer([image], share_inputs=True)
        yield {kind: np.array(request.get_output_tensor(k).data) for k, kind in enumerate(outputs)}


def _agreement(given: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Return 1 minus the mean distance of two answers, in [0, 1].

    The distance of masks is that of Bray and Curtis (Ecological Monographs 27, 1957, 325) between the probabilities of
    the pixels, which is 1 minus their Dice score where these are 0 and 1; that of classes is the total variation.
    """
    distances = []
    for kind in expected:
        ours, theirs = (expit(x[kind]) if kind == MASK else softmax(x[kind], axis=1) for x in (given, expected))
        size = ours.sum() + theirs.sum() + _SPECK * ours.size if kind == MASK else 2
        distances.append(float(np.abs(ours - theirs).sum() / size))
    return 1 - float(np.mean(distances))


def _add_to_classes(model: onnx.ModelProto, shift: np.ndarray) -> None:
    """Add (1, K) values to the logits of the classes."""
    raw, name = f"{CLASS}.raw", f"{CLASS}.shift"
    for node in model.graph.node:
        node.input[:] = [raw if value == CLASS else value for value in node.input]
        node.output[:] = [raw if value == CLASS else value for value in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(shift.astype(np.float32), name))
    model.graph.node.append(onnx.helper.make_node("Add", [raw, name], [CLASS], f"{CLASS}.corrected"))


def _count_layers(model: onnx.ModelProto) -> tuple[int, int]:
    """Count the layers whose weights are dequantised, and all layers; a product of two activations is none."""
    makers = {output: node for node in model.graph.node for output in node.output}
    seconds = [node.input[1] for node in model.graph.node if node.op_type in _LAYERS]
    weights = [value for value in seconds if _is_stored(value, makers)]
    dequantised = (value in makers and makers[value].op_type == "DequantizeLinear" for value in weights)
    return sum(dequantised), len(weights)


def _is_stored(value: str, makers: Mapping[str, onnx.NodeProto]) -> bool:
    """Return whether a value is stored in the file, apart from conversions; others depend on the image."""
    while value in makers and makers[value].op_type in _CONVERSIONS:
        value = makers[value].input[0]
    return value not in makers and value != INPUT


def _last_layers(model: onnx.ModelProto) -> list[str]:
    """Name the layers that give the logits: they are cheap, and their rounding would directly change them."""
    makers = {output: node for node in model.graph.node for output in node.output}
    names = (_layer_behind(output.name, makers) for output in model.graph.output if output.name != FEATURES)
    return [name for name in names if name is not None]


def _layer_behind(value: str, makers: Mapping[str, onnx.NodeProto]) -> str | None:
    """Name the layer that a value was computed from, by the first inputs that lead to one; None if none does."""
    node = makers.get(value)
    if node is None:  # a weight, such as a scale of the logits, or the image
        return None
    if node.op_type in _LAYERS:
        return str(node.name)
    return next((name for each in node.input if (name := _layer_behind(each, makers)) is not None), None)
