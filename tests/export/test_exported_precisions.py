"""Each precision of a bundle is measured, the default loses little, and another computation is refused."""

import numpy as np
import onnx
import pytest
import torch

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis import networks
from bus_lightning.diagnosis.engine import openvino
from bus_lightning.diagnosis.networks import computed_precision
from bus_lightning.diagnosis.stage import PRECISIONS
from bus_lightning.export import variants
from bus_lightning.export.making import make_bundle
from bus_lightning.export.quantising import quantise
from bus_lightning.export.runs import open_for_bundle, rebuild
from bus_lightning.export.to_onnx import export_onnx, halve_weights


def test_every_precision_is_there_and_was_measured(made):
    assert list(made.variants) == [name for name in PRECISIONS if computed_precision(name) == name]
    assert ("bf16 was not measured" in made.card) == ("bf16" not in made.variants)
    for name, variant in made.variants.items():
        assert variant["images"] > 10
        assert variant["ms"] > 0
        assert variant["iou_difference"] == pytest.approx(variant["iou"] - made.variants["fp32"]["iou"], abs=2e-5)
        assert 0 <= variant["answers_changed"] <= (0 if variant is made.variants["fp32"] else variant["images"])
        assert name in made.networks["segmenter"].files
    for stage, last in zip(made.networks.values(), ("Conv", "Gemm"), strict=True):
        graph = onnx.load(stage.files["int8"]).graph
        makers = {name: node.op_type for node in graph.node for name in node.output}
        fed = {node.op_type: {makers.get(name) for name in node.input} for node in graph.node}
        assert "DequantizeLinear" in {made for node in graph.node if node.op_type == "Conv" for made in
                                      (makers.get(name) for name in node.input)}  # fmt: skip
        assert "DequantizeLinear" not in fed[last]  # of the last such layer, which gives the logits
    assert stage.files["bf16"] == stage.files["fp32"]


def test_a_precision_that_the_cpu_does_not_compute_is_refused_and_not_measured(made, made_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_capabilities", lambda: ["FP32", "INT8"])
    with pytest.raises(UserError, match="--precision bf16: this CPU has no bfloat16"):
        make_bundle([made_runs / "seg"], tmp_path / "bundle", precision="bf16")
    reader = rebuild(open_for_bundle(made_runs / "seg"))
    assert list(variants.compare_variants(made, reader.prepared, reader.run.split.test[:2])) == ["fp32", "int8"]


def test_the_fastest_precision_is_chosen_among_those_that_lose_little():
    def row(ms, iou, auc):
        return {"ms": ms, "iou_difference": iou, "auc_difference": auc}

    fp32 = row(9, 0, 0)
    assert variants.choose_precision({"fp32": fp32, "bf16": row(5, -0.01, 0), "int8": row(3, 0, 0)}) == "int8"
    assert variants.choose_precision({"fp32": fp32, "bf16": row(5, -0.01, 0), "int8": row(3, -0.011, 0)}) == "bf16"
    assert variants.choose_precision({"fp32": fp32, "bf16": row(5, 0, -0.02), "int8": row(3, 0, None)}) == "fp32"


class ScaledLogits(torch.nn.Module):
    """Logits with an offset and a scale that are learned, as of a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 3, padding=2))
        self.scale, self.offset = torch.nn.Parameter(torch.tensor(2.0)), torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.offset + self.scale * self.net(image)


def test_logits_that_are_scaled_by_a_weight_can_be_quantised(tmp_path):
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    export_onnx(ScaledLogits().eval(), None, 3, 32, fp32, ["mask"])
    assert [node.op_type for node in onnx.load(fp32).graph.node][-2:] == ["Mul", "Add"]
    quantise(fp32, int8, [np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)], ["mask"])
    makers = {name: node.op_type for node in onnx.load(int8).graph.node for name in node.output}
    first, last = (node for node in onnx.load(int8).graph.node if node.op_type == "Conv")
    assert "DequantizeLinear" in [makers.get(name) for name in first.input]
    assert "DequantizeLinear" not in [makers.get(name) for name in last.input]


@pytest.mark.parametrize("moved", ["sensitivity_malignant", "specificity_malignant"])
def test_a_precision_that_moves_the_threshold_is_not_the_default(moved):
    def row(ms, share):
        shares = {"sensitivity_malignant": 0.9, "specificity_malignant": 0.8} | {moved: share}
        return {"ms": ms, "iou_difference": 0.0, "auc_difference": 0.0, **shares}

    for near in (0.7, 0.68, 0.72):
        assert variants.choose_precision({"fp32": row(9, 0.7), "int8": row(3, near)}) == "int8"
    for far in (0.679, 0.721, None):
        assert variants.choose_precision({"fp32": row(9, 0.7), "int8": row(3, far)}) == "fp32"
    assert variants.choose_precision({"fp32": row(9, None), "int8": row(3, None)}) == "fp32"  # nothing shows it


def test_another_computation_than_pytorch_s_is_refused(made_runs, made, monkeypatch):
    opened = rebuild(open_for_bundle(made_runs / "cls"))
    stage = made.networks["classifier"]
    assert variants.check_agreement(opened, stage) < 1e-5
    with torch.no_grad():
        next(iter(opened.net.parameters())).mul_(1.1)
    with pytest.raises(UserError, match="differs from PyTorch"):
        variants.check_agreement(opened, stage)
    with torch.no_grad():
        next(iter(opened.net.parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match="differs from PyTorch by nan"):
        variants.check_agreement(opened, stage)


def test_weights_in_16_bits_take_half_the_size_and_give_nearly_the_same(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.Conv2d(64, 1, 3, padding=1)).eval()
    export_onnx(net, None, 3, 64, tmp_path / "whole.onnx", ["mask"])
    halve_weights(tmp_path / "whole.onnx", tmp_path / "half.onnx")
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]  # the rest is the graph
    image = torch.rand(1, 3, 64, 64)
    compiled = openvino.Core().compile_model(tmp_path / "half.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.inference_mode():
        np.testing.assert_allclose(compiled([image.numpy()])[0], net(image).numpy(), atol=2e-3)
