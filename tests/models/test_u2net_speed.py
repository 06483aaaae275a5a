"""The backward pass of U2-Net stays in the memory layout that is fast."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bus_lightning.models import u2net
from bus_lightning.models.u2net import u2net_lite

_BACKWARD = torch.ops.aten.upsample_bilinear2d_backward.default


class _Gradients(TorchDispatchMode):
    """Record the gradients that arrive at the upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _BACKWARD:
            self.received.append(args[0])
        return func(*args, **(kwargs or {}))


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 64, 48, generator=generator).to(memory_format=torch.channels_last)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return u2net_lite(width=8).to(memory_format=torch.channels_last)


def _gradients(net: nn.Module, images: Tensor) -> list[Tensor]:
    net.zero_grad()
    net(images).square().mean().backward()
    return [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]


def test_gradients_arrive_at_the_upsampling_with_channels_last(net: nn.Module, images: Tensor) -> None:
    with _Gradients() as gradients:
        _gradients(net, images)
    assert len(gradients.received) > 20
    for gradient in gradients.received:
        assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_layout_of_gradients_changes_no_bit_of_them(
    net: nn.Module, images: Tensor, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images.contiguous(memory_format=layout)
    kept = _gradients(net, images)
    monkeypatch.setattr(u2net, "_keep_channels_last", torch.clone)
    for gradient, expected in zip(kept, _gradients(net, images), strict=True):
        assert torch.equal(gradient, expected)
