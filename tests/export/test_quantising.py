"""Networks in 8 bits answer like those in float32, on every CPU."""

import numpy as np
import onnx
import openvino
import pytest
import torch
from scipy.special import expit

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.stage import CLASS, MASK
from bus_lightning.export import quantising
from bus_lightning.export.quantising import quantise
from bus_lightning.export.to_onnx import export_onnx

OUTPUTS = [MASK, CLASS]
IMAGES = [np.random.default_rng(seed).normal(size=(1, 3, 32, 32)).astype(np.float32) for seed in range(8)]


class Fragile(torch.nn.Module):
    """Outlines and classifies; a channel is always `outlier`, so that the others share too few of 256 levels."""

    def __init__(self, outlier):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.Conv2d(width, 8, 3, padding=1) for width in (3, 8, 8, 8))
        self.last, self.linear = torch.nn.Conv2d(8, 1, 1), torch.nn.Linear(8, 3)
        with torch.no_grad():
            self.layers[1].bias[0] = outlier
            self.layers[2].weight[:, 0] /= outlier
            for layer in (self.layers[3], self.last, self.linear):
                layer.weight *= 4

    def forward(self, image):
        for layer in self.layers:
            image = torch.relu(layer(image))
        return self.last(image), self.linear(image.mean(dim=(2, 3)))


class Outlining(Fragile):
    """Only outlines, so that all groups that NNCF tries have a layer."""

    def forward(self, image):
        return super().forward(image)[0]


class Attending(torch.nn.Module):
    """Outlines; two of its matrix products have no weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Conv2d(3, 8, 3, stride=4), torch.nn.ConvTranspose2d(8, 1, 4, stride=4)
        self.query, self.key = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8, bias=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.first(image))
        pixels = features.flatten(2).transpose(1, 2)
        shares = torch.softmax(self.query(pixels) @ self.key(pixels).transpose(1, 2), dim=2)
        return self.last((shares @ pixels).transpose(1, 2).reshape(features.shape))


class Logarithmic(torch.nn.Module):
    """Outlines, and gives NaN for an image whose mean is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Conv2d(3, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(image) + torch.log(image.mean(dim=(1, 2, 3), keepdim=True))


@pytest.fixture
def quantised(tmp_path):
    """Export and quantise a network; give the counts of layers, and the two files."""

    def make(net, outputs=(MASK,), **options):
        fp32, int8 = tmp_path / "segmenter.onnx", tmp_path / "segmenter.int8.onnx"
        export_onnx(net.eval(), None, 3, 32, fp32, outputs)
        return quantise(fp32, int8, IMAGES, outputs, **options), fp32, int8

    return make


def logits_of(file):
    """Compute the logits of the images: masks, (N, 1, 32, 32), and classes, (N, 3)."""
    core = openvino.Core()
    network = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(output) for output in network(np.concatenate(IMAGES)).values()]


def float_layers(file):
    """Count from the input on which convolutions have an input that was not rounded."""
    graph = onnx.load(file).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    return [k for k, node in enumerate(layers) if makers.get(node.input[0]) != "DequantizeLinear"]


def test_a_layer_whose_rounding_changes_the_answers_stays_in_float(quantised):
    shares = {}
    for name, options in {"all": {"least": 0.0}, "mixed": {}}.items():
        (layers, total), fp32, int8 = quantised(Fragile(300.0), OUTPUTS, **options)
        assert total == 6
        assert layers == 5 - len(float_layers(int8))  # the linear layer, which gives logits, is not in 8 bits
        shares[name] = [expit(logits_of(file)[0]) for file in (fp32, int8)]
        kept = float_layers(int8)
        assert 0 not in kept
        assert (2 in kept) == (name == "mixed")
        assert 4 in kept  # it gives the logits of the mask
    far, near = (np.abs(ours - theirs).mean() for ours, theirs in shares.values())
    assert near < far / 4


def test_a_mix_that_keeps_too_many_layers_in_float_is_not_made(quantised, monkeypatch):
    monkeypatch.setattr(quantising, "_LEAST_SHARE", 0.9)  # one of four is more than a tenth
    assert quantised(Fragile(300.0), OUTPUTS)[0] == (4, 6)


def test_a_good_mix_is_kept_if_all_later_ones_have_too_many_layers_in_float(quantised):
    counts, _, int8 = quantised(Outlining(300.0), least=1.0)
    assert counts == (3, 5)
    assert 2 in float_layers(int8)


def test_a_network_that_agrees_keeps_all_layers_in_8_bits(quantised):
    (layers, total), *_ = quantised(Fragile(1.0), OUTPUTS)
    assert (layers, total) == (4, 6)


def test_the_mean_logits_of_classes_are_those_in_float(quantised):
    _, fp32, int8 = quantised(Fragile(5.0), OUTPUTS, least=0.0)
    ours, theirs = logits_of(int8)[1], logits_of(fp32)[1]
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=1e-4)
    assert np.abs(ours - theirs).max() > 1e-3  # so their means would differ, too


def test_weights_have_7_bits_so_that_no_cpu_overflows(quantised):
    _, _, int8 = quantised(Fragile(1.0), OUTPUTS)
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(int8).graph.initializer]
    stored = [values for values in weights if values.dtype == np.int8 and values.ndim == 4]
    assert len(stored) == 4
    assert all(32 < np.abs(values.astype(int)).max() <= 64 for values in stored)


def test_products_of_activations_are_not_counted_as_layers(quantised):
    assert quantised(Attending(), least=0.0)[0] == (3, 4)  # the last one gives the logits


def test_a_network_that_gives_no_number_for_a_training_image_is_refused(quantised, tmp_path):
    assert min(image.mean() for image in IMAGES) < 0
    with pytest.raises(UserError, match="segmenter: the network gives no finite number for a training image"):
        quantised(Logarithmic())
    assert not (tmp_path / "segmenter.int8.onnx").exists()


def test_quantising_again_gives_the_same_file(quantised):
    first = quantised(Fragile(300.0), OUTPUTS)[2].read_bytes()
    assert quantised(Fragile(300.0), OUTPUTS)[2].read_bytes() == first
