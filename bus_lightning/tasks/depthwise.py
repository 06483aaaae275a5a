"""Fast gradients of depthwise convolutions on a CPU, in bfloat16.

oneDNN has fast kernels for depthwise convolutions, but not for all gradients: with 5x5 weights or a stride of 2, it
computes as for groups of 16 channels, which takes up to ten times as long. In networks such as EfficientNet this is a
third of a training step. Here, the same gradients are computed with the fast kernels: the gradient of a stride is that
of the convolution without stride after zeros were put between its values, and larger weights are made of 3x3 parts.
"""

from typing import Any

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable
from torch.nn import functional


def convolve_depthwise(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:  # fmt: skip
    """Convolve as `conv2d` does, with fast gradients; None if there are none for this convolution."""
    channels, side = weight.shape[0], weight.shape[-1]
    (step, *steps), (border, *borders), (apart, *aparts) = map(as_pair, (stride, padding, dilation))
    is_depthwise = groups == channels == input.shape[1] > 1 and weight.ndim == input.ndim == 4 and bias is None
    is_square = weight.shape[-2] == side and [step, border, apart] == [*steps, *borders, *aparts] and apart == 1
    if not (is_depthwise and is_square and weight.requires_grad and torch.is_grad_enabled()):
        return None
    is_slow = side % 2 == 1 and isinstance(border, int) and border < side and (side > 3 or (side == 3 and step > 1))
    is_bfloat16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
    has_layout = input.device.type == "cpu" and input.is_contiguous(memory_format=torch.channels_last)
    if not (is_slow and is_bfloat16 and has_layout):
        return None
    y: Tensor = _Depthwise.apply(input, weight, step, border)
    return y


def as_pair(value: Any) -> tuple[Any, Any]:
    """Return a number, or a tuple of one or two, as a pair."""
    return tuple(value) * (2 // len(value)) if isinstance(value, tuple | list) else (value, value)


class _Depthwise(torch.autograd.Function):
    """Convolve each channel with its own weights: (B, C, H, W) and (C, 1, k, k), k odd, bfloat16."""

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        padding, side = ctx.padding, weight.shape[-1]
        height, width = (length + 2 * padding - side + 1 for length in x.shape[2:])
        gradient = _spread(gradient, ctx.stride, height, width)
        of_x = None
        if ctx.needs_input_grad[0]:
            flipped = weight.flip(2, 3)
            of_x = functional.conv2d(gradient, flipped, padding=side - 1 - padding, groups=weight.shape[0])
        padded = functional.pad(x, (padding,) * 4) if padding else x
        of_weight = torch.empty_like(weight)
        part = weight[:, :, :3, :3].contiguous()
        for top in range(0, side - 2, 2):
            for left in range(0, side - 2, 2):
                seen = padded[:, :, top : top + height + 2, left : left + width + 2]
                of_weight[:, :, top : top + 3, left : left + 3] = _weight_gradient(gradient, seen, part)
        return of_x, of_weight, None, None


def _spread(gradient: Tensor, stride: int, height: int, width: int) -> Tensor:
    """Put zeros between the values, (B, C, height, width) with channels last."""
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    if stride == 1:
        return gradient
    shape = (*gradient.shape[:2], height, width)
    spread = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last).zero_()
    spread[:, :, ::stride, ::stride] = gradient
    return spread


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Compute the gradient of 3x3 weights, without stride and padding."""
    x = x.contiguous(memory_format=torch.channels_last)
    of_weight: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], len(weight), [False, True, False]
    )[1]
    return of_weight
