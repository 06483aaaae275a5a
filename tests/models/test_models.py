"""What every network promises; one test per property, over all files of conf/model."""

import copy
import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from bus_lightning.core.errors import UserError
from bus_lightning.models.classifiers import resnet
from bus_lightning.models.u2net import ResidualUBlock, u2net, u2net_lite

# Small networks wait for each other's threads longer than they compute, on a busy machine.
torch.set_num_threads(1)

FOLDER = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load(name: str) -> DictConfig:
    """Read one file, over the file that it inherits from, if it does."""
    config = OmegaConf.load(FOLDER / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    for default in config.pop("defaults"):
        if isinstance(default, str) and default != "_self_":
            config = DictConfig(OmegaConf.merge(load(default), config))
    return config


def model_config(name: str, classes: int = 3, channels: int = 3) -> DictConfig:
    """Compose the `model` section of one file as Hydra does, for data of these sizes."""
    file = load(name)
    data = {"data": {"num_classes": classes, "channels": channels}}
    config = OmegaConf.merge(file if "model" in file else {"model": file}, data)
    OmegaConf.resolve(config)
    model = config.model
    assert isinstance(model, DictConfig)
    return model


@cache
def debug_net(name: str, channels: int = 3) -> nn.Module:
    """Build the debug size of a network for evaluation; the tests share it."""
    torch.manual_seed(0)
    model = model_config(name, channels=channels)
    net: nn.Module = instantiate(OmegaConf.merge(model.net, model.debug_size), _convert_="all")
    return net.eval()


def task(name: str) -> str:
    """The task that the file picks."""
    defaults: Any = OmegaConf.load(FOLDER / f"{name}.yaml").defaults
    for entry in defaults:
        if isinstance(entry, str) and entry != "_self_":
            return task(entry)
        if isinstance(entry, DictConfig):
            return str(next(iter(entry.values())))
    raise AssertionError(f"{name} picks no task")


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def heads(net: nn.Module, image: Tensor) -> list[Tensor]:
    """The logits of a network, those of the mask first where it has two heads."""
    answer = net(image)
    return [answer] if isinstance(answer, Tensor) else list(answer)


def answer_shapes(name: str, batch: int, height: int, width: int) -> list[tuple[int, ...]]:
    shapes = {"segmentation": (batch, 1, height, width), "classification": (batch, 3)}
    return list(shapes.values()) if task(name) == "joint" else [shapes[task(name)]]


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_names_its_model_and_its_parts(name: str) -> None:
    model = model_config(name)
    assert set(model) == {"name", "net", "debug_size", "weights", "imagenet"}
    assert model.name == name
    assert task(name) in {"classification", "segmentation", "joint"}
    assert model.weights in {None, "imagenet"}
    assert model.weights is None or model.imagenet is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_has_a_logit_per_class_or_per_pixel(name: str) -> None:
    net = debug_net(name)
    with torch.no_grad():
        answer = heads(net, images(2, 3, 64, 64))
    assert [logits.shape for logits in answer] == answer_shapes(name, 2, 64, 64)
    for logits in answer:
        assert logits.isfinite().all()
        # Neither a sigmoid nor a softmax: somewhere a value outside [0, 1].
        assert ((logits < 0) | (logits > 1)).any()


@pytest.mark.parametrize("name", NAMES)
def test_another_image_size_works(name: str) -> None:
    net = debug_net(name)
    with torch.no_grad():
        answer = heads(net, images(1, 3, 96, 128))
    assert [logits.shape for logits in answer] == answer_shapes(name, 1, 96, 128)


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_of_one_channel_work(name: str) -> None:
    net = debug_net(name, channels=1)
    with torch.no_grad():
        answer = heads(net, images(2, 1, 64, 64))
    assert [logits.shape for logits in answer] == answer_shapes(name, 2, 64, 64)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    net = copy.deepcopy(debug_net(name)).train()
    answer = heads(net, images(4, 3, 64, 64))
    torch.stack([(logits * images(*logits.shape)).sum() for logits in answer]).sum().backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_gives_the_same_answer_twice(name: str) -> None:
    net = debug_net(name)
    with torch.no_grad():
        first, second = heads(net, images(2, 3, 64, 64)), heads(net, images(2, 3, 64, 64))
        alone = heads(net, images(2, 3, 64, 64)[:1])
    for answer, repeated, single in zip(first, second, alone, strict=True):
        assert torch.equal(answer, repeated)
        # Nor does an image's answer depend on the rest of its batch.
        torch.testing.assert_close(single, answer[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "with_1000_classes", "with_3_classes"),
    [
        ("deepcardinal50", 25_028_904, 22_986_051),
        ("resnet50", 25_557_032, 23_514_179),
        ("resnet101", 44_549_160, 42_506_307),
        ("resnet34", 21_797_672, 21_286_211),
        ("resnet34_pretrained", 21_797_672, 21_286_211),
        ("alexnet", 61_100_840, 57_016_131),
        ("efficientnet_lite0", 4_652_008, 3_374_851),
    ],
)
def test_a_classifier_has_the_published_number_of_parameters(
    name: str, with_1000_classes: int, with_3_classes: int
) -> None:
    with torch.device("meta"):
        assert count(instantiate(model_config(name, classes=1000).net)) == with_1000_classes
        assert count(instantiate(model_config(name).net)) == with_3_classes


@pytest.mark.parametrize(
    ("name", "parameters"), [("u2net_lite", 1_131_181), ("u2net", 44_009_869), ("unet", 24_436_369)]
)
def test_a_segmenter_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        assert count(instantiate(model_config(name).net)) == parameters


def test_the_joint_network_is_the_segmenter_and_a_linear_layer() -> None:
    with torch.device("meta"):
        joint, segmenter = (count(instantiate(model_config(name).net)) for name in ("joint_unet", "unet"))
    assert joint - segmenter == 3 * (512 + 1)


@pytest.mark.parametrize(("build", "published_bytes"), [(u2net_lite, 4_807_903), (u2net, 176_376_827)])
def test_the_saved_u2net_has_the_published_size(build: Any, published_bytes: int) -> None:
    file = io.BytesIO()
    torch.save(build().state_dict(), file)
    # The tensors' bytes are exact; the zip around them changes with its name and with PyTorch.
    assert file.tell() == pytest.approx(published_bytes, rel=0.002)


@pytest.mark.parametrize("build", [u2net_lite, u2net])
def test_u2net_keeps_the_published_names(build: Any) -> None:
    with torch.device("meta"):
        names = list(build().state_dict())
    assert len(names) == 798
    layers = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in names))
    assert names[:8] == [
        "stage1.rebnconvin.conv_s1.weight",
        "stage1.rebnconvin.conv_s1.bias",
        "stage1.rebnconvin.bn_s1.weight",
        "stage1.rebnconvin.bn_s1.bias",
        "stage1.rebnconvin.bn_s1.running_mean",
        "stage1.rebnconvin.bn_s1.running_var",
        "stage1.rebnconvin.bn_s1.num_batches_tracked",
        "stage1.rebnconv1.conv_s1.weight",
    ]
    stages = list(dict.fromkeys(layer.split(".")[0] for layer in layers))
    assert stages[:6] == [f"stage{level}" for level in range(1, 7)]
    assert stages[6:11] == [f"stage{level}d" for level in range(5, 0, -1)]
    assert stages[11:] == [*(f"side{level}" for level in range(1, 7)), "outconv"]
    for stage, height in {
        "stage1": 7,
        "stage2d": 6,
        "stage4": 4,
        "stage5": 4,
        "stage5d": 4,
    }.items():
        units = [layer.split(".")[1] for layer in layers if layer.startswith(f"{stage}.")][::2]
        down = [f"rebnconv{level}" for level in range(1, height + 1)]
        up = [f"rebnconv{level}d" for level in range(height - 1, 0, -1)]
        assert units == ["rebnconvin", *down, *up]


def test_u2net_dilates_where_the_published_one_does() -> None:
    with torch.device("meta"):
        net = u2net_lite()
    dilations = {
        name: layer.dilation[0]
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.dilation[0] > 1
    }
    expected = {
        f"stage{stage}.rebnconv{level}.conv_s1": 2
        for stage, level in {
            "1": 7,
            "2": 6,
            "3": 5,
            "4": 4,
            "4d": 4,
            "3d": 5,
            "2d": 6,
            "1d": 7,
        }.items()
    }
    for stage in ("5", "6", "5d"):
        for unit, dilation in {"2": 2, "3": 4, "4": 8, "3d": 4, "2d": 2}.items():
            expected[f"stage{stage}.rebnconv{unit}.conv_s1"] = dilation
    assert dilations == expected


def resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def test_an_rsu4_block_computes_what_the_published_one_does() -> None:
    # Written out, because no tensor's name or shape shows the order of the channels in each torch.cat.
    torch.manual_seed(0)
    block: Any = ResidualUBlock(3, 4, 5, height=4).eval()
    with torch.no_grad():
        inner = block.rebnconvin(x := images(1, 3, 13, 16))
        e1 = block.rebnconv1(inner)
        e2 = block.rebnconv2(F.max_pool2d(e1, 2, 2, ceil_mode=True))
        e3 = block.rebnconv3(F.max_pool2d(e2, 2, 2, ceil_mode=True))
        e4 = block.rebnconv4(e3)
        d3 = block.rebnconv3d(torch.cat([e4, e3], 1))
        d2 = block.rebnconv2d(torch.cat([resize(d3, e2), e2], 1))
        d1 = block.rebnconv1d(torch.cat([resize(d2, e1), e1], 1))
        torch.testing.assert_close(block(x), d1 + inner)


def test_an_rsu4f_block_computes_what_the_published_one_does() -> None:
    torch.manual_seed(0)
    block: Any = ResidualUBlock(3, 4, 5, height=4, dilated=True).eval()
    with torch.no_grad():
        inner = block.rebnconvin(x := images(1, 3, 13, 16))
        e1 = block.rebnconv1(inner)
        e2 = block.rebnconv2(e1)
        e3 = block.rebnconv3(e2)
        d3 = block.rebnconv3d(torch.cat([block.rebnconv4(e3), e3], 1))
        d2 = block.rebnconv2d(torch.cat([d3, e2], 1))
        d1 = block.rebnconv1d(torch.cat([d2, e1], 1))
        torch.testing.assert_close(block(x), d1 + inner)


@pytest.mark.parametrize("build", [u2net_lite, u2net])
def test_u2net_joins_its_stages_as_the_published_one_does(build: Any) -> None:
    torch.manual_seed(0)
    net = build(width=8).eval()
    with torch.no_grad():
        encoded = [net.stage1(x := images(1, 3, 50, 64))]
        for stage in (net.stage2, net.stage3, net.stage4, net.stage5, net.stage6):
            encoded.append(stage(F.max_pool2d(encoded[-1], 2, 2, ceil_mode=True)))
        d5 = net.stage5d(torch.cat([resize(encoded[5], encoded[4]), encoded[4]], 1))
        d4 = net.stage4d(torch.cat([resize(d5, encoded[3]), encoded[3]], 1))
        d3 = net.stage3d(torch.cat([resize(d4, encoded[2]), encoded[2]], 1))
        d2 = net.stage2d(torch.cat([resize(d3, encoded[1]), encoded[1]], 1))
        d1 = net.stage1d(torch.cat([resize(d2, encoded[0]), encoded[0]], 1))
        sides = [net.side1(d1), net.side2(d2), net.side3(d3), net.side4(d4), net.side5(d5), net.side6(encoded[5])]
        maps = torch.cat([resize(side, x) for side in sides], 1)
        torch.testing.assert_close(net.side_logits(x), torch.cat([net.outconv(maps), maps], 1))


@pytest.mark.parametrize("build", [u2net_lite, u2net])
@pytest.mark.parametrize("size", [(1, 1), (33, 65), (47, 30), (101, 64)])
def test_u2net_answers_odd_sizes_at_the_size_of_the_image(build: Any, size: tuple[int, int]) -> None:
    net = build(width=8).eval()
    with torch.no_grad():
        assert net(images(1, 3, *size)).shape == (1, 1, *size)
        assert net.side_logits(images(1, 3, *size)).shape == (1, 7, *size)


@pytest.mark.parametrize("build", [u2net_lite, u2net])
def test_the_first_side_output_of_u2net_is_its_answer(build: Any) -> None:
    torch.manual_seed(0)
    net = build(width=8).eval()
    with torch.no_grad():
        sides, fused = net.side_logits(images(2, 3, 64, 64)), net(images(2, 3, 64, 64))
    assert torch.equal(sides[:, :1], fused)


@pytest.mark.parametrize("build", [u2net_lite, u2net])
def test_deep_supervision_reaches_every_parameter_of_u2net(build: Any) -> None:
    torch.manual_seed(0)
    net = build(width=8)
    net.side_logits(images(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_an_unknown_block_of_a_resnet_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.net\.block=wide"):
        resnet("wide", [1, 1, 1, 1], num_classes=3)  # type: ignore[arg-type]
