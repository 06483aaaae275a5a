"""A network or a loss of a run is of a known library, loads no weights, and names no file and no address."""

import ast
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from bus_lightning.config.build import build
from bus_lightning.config.trusted import Origin
from bus_lightning.core.errors import UserError

ROOT = Path(__file__).parents[2]
ORIGIN = Origin(Path("runs/a/b/config.yaml"))


def test_every_network_and_loss_of_our_configs_is_built_from_a_run():
    files = [*ROOT.glob("conf/model/*.yaml"), *ROOT.glob("conf/task/*.yaml")]
    nodes = [node for file in files for node in nodes_in(OmegaConf.to_container(OmegaConf.load(file)))]
    names = {node["_target_"] for node in nodes if ".models.weights." not in node["_target_"]}
    assert len(names) > 8
    for name in names:
        assert ORIGIN.harmless({"_target_": name}, "model.net")["_target_"] == name


def nodes_in(value):
    if isinstance(value, dict):
        yield from [value] if "_target_" in value else []
        for inner in value.values():
            yield from nodes_in(inner)


@pytest.mark.parametrize(
    "node",
    [{"_target_": "timm.create_model", "model_name": "resnet18", "pretrained": True, "checkpoint_path": "any.pth"},
     {"_target_": "timm.models.resnet18", "pretrained": True},
     {"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"},
     {"_target_": "torchvision.models.resnet18", "pretrained": True},
     {"_target_": "torchvision.models.segmentation.lraspp_mobilenet_v3_large"},  # its default downloads
     {"_target_": "torchvision.models.ResNet", "block": {"_target_": "torchvision.models.resnet.BasicBlock",
                                                         "_partial_": True}, "layers": [1, 1, 1, 1]},
     {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": "resnet18"},
     {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": "resnet18", "encoder_weights": "imagenet"},
     {"_target_": "segmentation_models_pytorch.create_model", "arch": "fpn", "encoder_name": "resnet18"},
     {"_target_": "segmentation_models_pytorch.encoders.timm_universal.TimmUniversalEncoder", "name": "resnet18"}],
    ids=lambda node: f"{node['_target_']} {len(node)}",
)  # fmt: skip
def test_a_network_of_a_run_loads_no_weights_of_its_library(node, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError(f"something was opened: {arguments}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    if "block" in node:  # a class as an argument is a partial, which lacks the class's attributes
        with pytest.raises(UserError, match="expansion"):
            build(node, ORIGIN, "model.net")
    else:
        assert isinstance(build(node, ORIGIN, "model.net"), torch.nn.Module)


@pytest.mark.parametrize(
    "node",
    [{"_target_": "timm.create_model", "model_name": "hf-hub:someone/net"},
     {"_target_": "timm.create_model", "model_name": "local-dir:/tmp/net"},
     {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": "tu-hf_hub:someone/net"},
     {"_target_": "segmentation_models_pytorch.Unet", "more": [{"deep": "https://example.org/net"}]},
     {"_target_": "timm.create_model", "_args_": ["resnet18", True]},
     {"_target_": "timm.create_model", "_args_": "ab"},
     {"_target_": "torchvision.models.resnet18", "_args_": [True]}],
    ids=str,
)  # fmt: skip
def test_a_network_of_a_run_names_no_file_and_no_address(node):
    with pytest.raises(
        UserError, match=r"^runs/a/b/config\.yaml: model\.net.*(only read from the run|name the options)"
    ):
        build(node, ORIGIN, "model.net")


def test_losses_of_libraries_are_built_from_a_run():
    nodes = [
        {"_target_": "torch.nn.MultiMarginLoss"},
        {"_target_": "torch.nn.modules.loss.CrossEntropyLoss", "label_smoothing": 0.1},
        {"_target_": "segmentation_models_pytorch.losses.FocalLoss", "mode": "binary"},
        {"_target_": "timm.loss.LabelSmoothingCrossEntropy"},
        {"_target_": "torch.nn.functional.cross_entropy", "_partial_": True},
        {"_target_": "torchvision.ops.sigmoid_focal_loss", "_partial_": True, "reduction": "mean"},
    ]
    for node in nodes:
        assert callable(build(node, ORIGIN, "task.loss"))


READERS = ("runs", "report", "paper", "explain", "export", "statistics", "tracking", "launch", "training/evaluate.py")


def test_each_reader_of_runs_says_where_the_config_comes_from():
    calls = []
    for place in READERS:
        path = ROOT / "bus_lightning" / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            calls += [
                (file, call)
                for call in ast.walk(ast.parse(file.read_text()))
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("build", "build_net", "build_task")
            ]
    assert len(calls) > 3
    silent = [f"{file}:{call.lineno}" for file, call in calls if "origin" not in ast.unparse(call)]
    assert not silent
