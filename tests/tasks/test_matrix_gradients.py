"""Weight gradients as products of matrices are the same gradients, and only where they are faster."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from bus_lightning.tasks import matrix_gradients
from bus_lightning.tasks.fast_gradients import FastGradients
from bus_lightning.tasks.segmentation import SegmentationTask

_CHANNELS = 6


class _Backward(TorchDispatchMode):
    """Count the weight gradients that oneDNN computes."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            self.weights += args[-1][1]
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _any_size_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    for name in ("_CHANNELS", "_WIDTH", "_ROW"):
        monkeypatch.setattr(matrix_gradients, name, 1)
    monkeypatch.setattr(matrix_gradients, "_PIXELS", 40)  # several parts of an image


def _tensors(side: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, _CHANNELS, 9, 14, generator=generator).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(5, _CHANNELS, side, side, generator=generator).to(dtype)
    bias = torch.randn(5, generator=generator).to(dtype)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


def _gradients(tensors: tuple[Tensor, ...], padding: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    y = functional.conv2d(*tensors, padding=padding)
    # A weight per value, so that a shifted or mirrored gradient would differ.
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    return y.detach(), torch.autograd.grad((y * weights).sum(), [tensor for tensor in tensors if tensor.requires_grad])


@pytest.mark.parametrize(("side", "padding"), [(1, 0), (3, 0), (3, 1), (3, (2, 2))])
@pytest.mark.parametrize("trained", ["all", "no input", "no bias"])
def test_fast_gradients_are_those_of_the_convolution(side: int, padding: Any, trained: str) -> None:
    pairs = []
    for dtype in (torch.float64, torch.float32):
        x, weight, bias = _tensors(side, dtype)
        x.requires_grad_(trained != "no input")
        pairs.append((x, weight) if trained == "no bias" else (x, weight, bias))
    exact, tensors = pairs
    expected = _gradients(exact, padding)[1]
    plain = _gradients(tensors, padding)[0]
    with FastGradients(), _Backward() as backward:
        y, gradients = _gradients(tensors, padding)
    assert backward.weights == 0
    assert torch.equal(y, plain)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_the_same_step_gives_the_same_bits() -> None:
    with FastGradients():
        first, second = (_gradients(_tensors(3), 1)[1] for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_other_convolutions_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = _tensors(3)
    half = weight[:, : _CHANNELS // 2]
    with FastGradients():
        for convolve in (
            lambda: functional.conv2d(x, weight, bias, stride=2),
            lambda: functional.conv2d(x, weight, bias, dilation=2),
            lambda: functional.conv2d(x, weight, bias, padding="same"),
            lambda: functional.conv2d(x, weight, bias, padding=(0, 1)),
            lambda: functional.conv2d(x, weight[:, :, :, :2]),
            lambda: functional.conv2d(x, weight[:, :, :2, :2]),
            lambda: functional.conv2d(x, weight[:, :, :1, :1], padding=1),
            lambda: functional.conv2d(x, half[:4], groups=2),
            lambda: functional.conv2d(x[0], weight),
            lambda: functional.conv2d(x.contiguous(), weight),
            lambda: functional.conv2d(x.double(), weight.double()),
        ):
            with _Backward() as backward:
                convolve().sum().backward()
            assert backward.weights == 1
        assert functional.conv2d(x, weight.detach()).grad_fn.name() == "ConvolutionBackward0"
        with torch.no_grad():
            assert functional.conv2d(x, weight).grad_fn is None
        with torch.autocast("cpu", torch.bfloat16):
            assert functional.conv2d(x, weight).grad_fn.name() == "ConvolutionBackward0"
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
        assert functional.conv2d(x, weight).grad_fn.name() == "ConvolutionBackward0"


@pytest.mark.parametrize("limit", ["_CHANNELS", "_WIDTH", "_ROW"])
def test_small_convolutions_are_left_alone(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(matrix_gradients, limit, 10_000)
    x, weight, bias = _tensors(1 if limit == "_CHANNELS" else 3)
    with FastGradients():
        assert functional.conv2d(x, weight, bias).grad_fn.name() == "ConvolutionBackward0"


def test_a_training_step_uses_the_fast_gradients() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1))
    task = SegmentationTask(
        net=net, loss=nn.BCEWithLogitsLoss(), classes=["benign"], optimizer=None, channels_last=True
    )
    task.trainer = SimpleNamespace(num_training_batches=9, world_size=1)  # type: ignore[assignment]
    batch = {"image": torch.rand(2, 3, 8, 8), "mask": torch.ones(2, 1, 8, 8), "id": ["a", "b"]}
    with _Backward() as backward:
        task.training_step(batch, 0).backward()
    assert backward.weights == 0
