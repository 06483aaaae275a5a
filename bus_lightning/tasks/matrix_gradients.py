"""Fast weight gradients of convolutions in float32, on a CPU with AVX2 but without AVX-512.

With channels last, the weight gradient of a 3x3 convolution of a wide map takes oneDNN about five times as long as the
convolution itself: half of a training step of U2NET-Lite. That of a 1x1 convolution of many channels takes up to 1.7
times as long as a product of matrices. Here, these gradients are products of matrices: the gradient of each of the k x
k weights is that of the output, times the input that is shifted by the place of the weight. With channels last, and
with a border of zeros around both, the shifted input is a part of the same memory, so that it is not copied for each
weight.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bus_lightning.tasks.depthwise import as_pair

# With less, oneDNN is as fast (measured on two cores of an AMD EPYC).
_CHANNELS = 100_000  # of a 1x1 convolution: input channels times output channels
_WIDTH = 56  # of the map of a 3x3 convolution
_ROW = 300_000  # the width times input channels times output channels
_PIXELS = 5000  # of input and gradient that are multiplied at once, so that they stay in the cache


def convolve_with_matrices(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:  # fmt: skip
    """Convolve as `conv2d` does, with fast gradients; None if there are none for this convolution."""
    if isinstance(padding, str) or not (weight.ndim == input.ndim == 4 and weight.shape[2] == weight.shape[3]):
        return None
    side, channels, width = weight.shape[3], weight.shape[0] * weight.shape[1], input.shape[3]
    (border, *borders), steps = as_pair(padding), (*as_pair(stride), *as_pair(dilation))
    is_plain = groups == 1 and steps == (1, 1, 1, 1) and borders == [border] and (side > 1 or border == 0)
    is_float32 = input.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    has_layout = input.device.type == "cpu" and input.is_contiguous(memory_format=torch.channels_last)
    is_trained = weight.requires_grad and torch.is_grad_enabled()
    is_deep, is_wide = side == 1 and channels >= _CHANNELS, side == 3 and width >= _WIDTH and width * channels >= _ROW
    is_slow = (is_deep or is_wide) and torch.backends.cpu.get_cpu_capability() == "AVX2"
    if not (is_slow and is_plain and is_float32 and has_layout and is_trained):
        return None
    y: Tensor = _MatrixGradients.apply(input, weight, bias, border)
    return y


class _MatrixGradients(torch.autograd.Function):
    """Convolve (B, C, H, W), channels last, with (D, C, k, k) and an optional bias (D), all float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return functional.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            settings = ([1, 1], [ctx.padding] * 2, [1, 1], False, [0, 0], 1, [True, False, False])
            of_x = torch.ops.aten.convolution_backward(gradient, x, weight, None, *settings)[0]
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(gradient, x, ctx.padding, weight.shape[3])
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None


def _weight_gradient(gradient: Tensor, x: Tensor, padding: int, side: int) -> Tensor:
    """Compute the gradient of the weights, (D, C, side, side), from that of the output, and the input."""
    if side == 1:
        return (_pixels(gradient).T @ _pixels(x))[:, :, None, None]
    height, width = (length + 2 * padding for length in x.shape[2:])
    of_weight = x.new_zeros(side, side, gradient.shape[1], x.shape[1])
    bordered, of_bordered = (_zeros(tensor.shape[1], height, width) for tensor in (x, gradient))
    seen, of_seen = _pixels(bordered), _pixels(of_bordered)[: (height - side + 1) * width - side + 1]
    step = max(1, _PIXELS // width) * width
    for image, of_image in zip(x, gradient, strict=True):
        bordered[0, :, padding : height - padding, padding : width - padding] = image
        of_bordered[0, :, : of_image.shape[1], : of_image.shape[2]] = of_image
        for start in range(0, len(of_seen), step):
            part = of_seen[start : start + step]
            for row in range(side):
                for column in range(side):
                    first = start + row * width + column
                    of_weight[row, column].addmm_(part.T, seen[first : first + len(part)])
    return of_weight.permute(2, 3, 0, 1)


def _zeros(channels: int, height: int, width: int) -> Tensor:
    """Make an image of zeros, (1, channels, height, width) with channels last."""
    return torch.empty(1, channels, height, width, memory_format=torch.channels_last).zero_()


def _pixels(images: Tensor) -> Tensor:
    """View (B, C, H, W) with channels last as (B * H * W, C)."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])
