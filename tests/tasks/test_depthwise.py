"""Fast gradients of depthwise convolutions are the same gradients."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.fast_gradients import FastGradients

_CHANNELS = 16


class _Backward(TorchDispatchMode):
    """Record the shapes of the weights whose gradients oneDNN computes, with the stride."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: set[tuple[int, int]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            self.computed.add((args[2].shape[-1], args[4][0]))
        return func(*args, **(kwargs or {}))


def _tensors(side: int, kernel: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, _CHANNELS, side, side + 3, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(_CHANNELS, 1, kernel, kernel, generator=generator) / kernel
    return x.requires_grad_(), weight.requires_grad_()


def _convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[Tensor, Tensor, Tensor]:
    y = functional.conv2d(x, weight, stride=stride, padding=padding, groups=_CHANNELS)
    # A weight per value, so that a shifted or mirrored gradient would differ.
    loss = (y.float() * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum()
    of_x, of_weight = torch.autograd.grad(loss, (x, weight))
    return y.detach(), of_x, of_weight


@pytest.mark.parametrize("side", [11, 14])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 2, 0), (3, 2, 1), (5, 1, 2), (5, 1, 0), (5, 2, 0), (5, 2, 2), (5, 3, 4), (7, 1, 3)],
)
def test_fast_gradients_are_those_of_the_convolution(side: int, kernel: int, stride: int, padding: int) -> None:
    x, weight = _tensors(side, kernel)
    with torch.autocast("cpu", torch.bfloat16):
        plain = _convolve(x, weight, stride, padding)[0]
        with FastGradients(), _Backward() as backward:
            y, *gradients = _convolve(x, weight, stride, padding)
    assert backward.computed == {(3, 1)}
    assert torch.equal(y, plain)
    exact = _convolve(x, weight, stride, padding)[1:]
    for gradient, expected in zip(gradients, exact, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, expected, rtol=0, atol=0.02 * float(expected.abs().max()))


def test_other_convolutions_and_float32_are_left_alone() -> None:
    x, weight = _tensors(9, 5)
    expected = _convolve(x, weight, 1, 2)
    with FastGradients(), _Backward() as backward:
        assert all(map(torch.equal, _convolve(x, weight, 1, 2), expected))
    assert backward.computed == {(5, 1)}
    grouped, full = weight[:, :, :3, :3], weight.expand(-1, _CHANNELS, -1, -1)
    with torch.autocast("cpu", torch.bfloat16), FastGradients():
        for convolve in (
            lambda: functional.conv2d(x, grouped, groups=_CHANNELS),
            lambda: functional.conv2d(x, full, padding="same"),
            lambda: functional.conv2d(x, weight, torch.zeros(_CHANNELS), groups=_CHANNELS),
            lambda: functional.conv2d(x.contiguous(), weight, groups=_CHANNELS),
            lambda: functional.conv2d(x, weight, dilation=(2, 2), groups=_CHANNELS),
        ):
            assert convolve().grad_fn.name() == "ConvolutionBackward0"


def test_a_training_step_uses_the_fast_gradients() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    task = ClassificationTask(
        net=net, loss=nn.CrossEntropyLoss(), classes=list("abcdefgh"), optimizer=None, channels_last=True
    )
    task.trainer = SimpleNamespace(num_training_batches=9, world_size=1)  # type: ignore[assignment]
    batch = {"image": torch.rand(2, 3, 8, 8), "label": torch.tensor([0, 1]), "id": ["a", "b"]}
    with torch.autocast("cpu", torch.bfloat16), _Backward() as backward:
        task.training_step(batch, 0).backward()
    assert backward.computed == {(3, 1), (1, 1)}
