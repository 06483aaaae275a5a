"""U2-Net is the published one: its size, its names, its blocks, and how its stages are joined."""

import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from our_nets import images
from torch import Tensor, nn

from bus_lightning.models.u2net import ResidualUBlock, u2net, u2net_lite


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
