"""U2-Net: a U-shaped network whose every stage is itself a small U-shaped network.

The modules keep the published names (rebnconvin, conv_s1, stage1d, ...), so the published weights u2net.pth and
u2netp.pth load strictly. Unlike the published code, it returns logits and does not stretch a map to its own minimum and
maximum, which would put a lesion into every image.

References:
    Qin et al., U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection, 2020, arXiv 2005.09007.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# In the comments on shapes: B batch, C channels, H and W height and width.


class StageShape(NamedTuple):
    """One stage of the network: a row of the paper's table."""

    height: int  # units on the way down, the last one below the deepest pooling; RSU7 has 7
    dilated: bool  # RSU4F: dilated convolutions instead of pooling
    middle: int  # channels inside the block
    out: int  # channels of the block's output


# The encoder's six stages, then the decoder's five from the deepest up, at the published width 64.
_SHAPES = [(7, False), (6, False), (5, False), (4, False), (4, True), (4, True)]
_SHAPES += _SHAPES[4::-1]
_LITE = [(16, 64)] * 11
_FULL = [(32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512)]
_FULL += [(256, 512), (128, 256), (64, 128), (32, 64), (16, 64)]


class ConvUnit(nn.Module):
    """Convolve 3x3, normalise over the batch, rectify."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(out_channels)
        self.relu_s1 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W), at least 0."""
        y: Tensor = self.relu_s1(self.bn_s1(self.conv_s1(x)))
        return y


class ResidualUBlock(nn.Module):
    """The paper's RSU block: a small U-Net that adds the output of its first unit to that of its last.

    Args:
        in_channels: Channels of the input.
        middle: Channels inside the block.
        out_channels: Channels of the output.
        height: Units on the way down, at least 2.
        dilated: Keep the resolution and dilate by 1, 2, 4, ... (RSU4F) instead of pooling.
    """

    def __init__(self, in_channels: int, middle: int, out_channels: int, height: int, dilated: bool = False) -> None:
        super().__init__()
        self.height = height
        self.dilated = dilated
        self.rebnconvin = ConvUnit(in_channels, out_channels)
        for level in range(1, height + 1):
            dilation = 2 ** (level - 1) if dilated else 2 if level == height else 1
            channels = out_channels if level == 1 else middle
            self.add_module(f"rebnconv{level}", ConvUnit(channels, middle, dilation))
        for level in range(height - 1, 0, -1):
            dilation = 2 ** (level - 1) if dilated else 1
            channels = out_channels if level == 1 else middle
            self.add_module(f"rebnconv{level}d", ConvUnit(2 * middle, channels, dilation))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W)."""
        inner: Tensor = self.rebnconvin(x)
        skips = [self.get_submodule("rebnconv1")(inner)]
        for level in range(2, self.height + 1):
            # The deepest unit is dilated instead of pooled.
            pooled = not self.dilated and level < self.height
            below = _halve(skips[-1]) if pooled else skips[-1]
            skips.append(self.get_submodule(f"rebnconv{level}")(below))
        up: Tensor = skips.pop()
        for level in range(self.height - 1, 0, -1):
            skip = skips.pop()
            up = torch.cat([_resize_like(up, skip), skip], dim=1)  # (B, 2 * middle, h, w)
            up = self.get_submodule(f"rebnconv{level}d")(up)
        return inner + up


class U2Net(nn.Module):
    """U2-Net over a table of stages; `u2net` and `u2net_lite` build the two published ones.

    Args:
        stages: The six stages of the encoder, then the five of the decoder from the deepest up.
        in_channels: Channels of the image.
        out_channels: Maps of the output, 1 for a lesion mask.
    """

    def __init__(self, stages: list[StageShape], in_channels: int = 3, out_channels: int = 1) -> None:
        super().__init__()
        encoder, decoder = stages[:6], stages[6:]
        channels = in_channels
        for level, stage in enumerate(encoder, start=1):
            self.add_module(f"stage{level}", _block(channels, stage))
            channels = stage.out
        for level, stage in zip(range(5, 0, -1), decoder, strict=True):
            self.add_module(f"stage{level}d", _block(channels + encoder[level - 1].out, stage))
            channels = stage.out
        for level, stage in enumerate([*reversed(decoder), encoder[-1]], start=1):
            side = nn.Conv2d(stage.out, out_channels, kernel_size=3, padding=1)
            self.add_module(f"side{level}", side)
        self.outconv = nn.Conv2d(6 * out_channels, out_channels, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) images of any size to (B, out_channels, H, W) fused logits."""
        fused: Tensor = self.outconv(self._sides(image))
        return fused

    def side_logits(self, image: Tensor) -> Tensor:
        """Compute the fused logits and the six side logits, for deep supervision.

        Args:
            image: (B, in_channels, H, W).

        Returns:
            (B, 7 * out_channels, H, W) logits, so (B, 7, H, W) for a lesion mask: first the fused
            ones, then those of stages 1 (finest) to 6.
        """
        sides = self._sides(image)
        return torch.cat([self.outconv(sides), sides], dim=1)

    def _sides(self, image: Tensor) -> Tensor:
        """Compute the six side logits at the image's size, (B, 6 * out_channels, H, W)."""
        skips = [self.get_submodule("stage1")(image)]
        for level in range(2, 7):
            skips.append(self.get_submodule(f"stage{level}")(_halve(skips[-1])))
        up = skips.pop()  # (B, C, h, w) with h and w a 32nd of H and W, rounded up
        sides = [self.get_submodule("side6")(up)]
        for level in range(5, 0, -1):
            skip = skips.pop()
            up = torch.cat([_resize_like(up, skip), skip], dim=1)
            up = self.get_submodule(f"stage{level}d")(up)
            sides.append(self.get_submodule(f"side{level}")(up))
        return torch.cat([_resize_like(side, image) for side in reversed(sides)], dim=1)


def u2net_lite(in_channels: int = 3, out_channels: int = 1, width: int = 64) -> U2Net:
    """Build U2NET-Lite, published as U2NETP: 1.1 million parameters at its width of 64."""
    return U2Net(_stages(_LITE, width), in_channels, out_channels)


def u2net(in_channels: int = 3, out_channels: int = 1, width: int = 64) -> U2Net:
    """Build the full U2NET: 44 million parameters at its width of 64."""
    return U2Net(_stages(_FULL, width), in_channels, out_channels)


def _stages(channels: list[tuple[int, int]], width: int) -> list[StageShape]:
    """Join the shapes to a table of (middle, out) channels, scaled from width 64 to `width`."""
    return [
        StageShape(height, dilated, max(1, middle * width // 64), max(1, out * width // 64))
        for (height, dilated), (middle, out) in zip(_SHAPES, channels, strict=True)
    ]


def _block(in_channels: int, stage: StageShape) -> ResidualUBlock:
    return ResidualUBlock(in_channels, stage.middle, stage.out, stage.height, stage.dilated)


def _halve(x: Tensor) -> Tensor:
    # Rounded up: a side of 1 stays 1, and every image size works.
    return F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=True)


def _resize_like(x: Tensor, target: Tensor) -> Tensor:
    if x.shape[2:] == target.shape[2:]:
        return x
    larger = F.interpolate(x, size=target.shape[2:], mode="bilinear", align_corners=False)
    if larger.requires_grad and larger.is_contiguous(memory_format=torch.channels_last):
        larger.register_hook(_keep_channels_last)  # type: ignore[no-untyped-call]
    return larger


def _keep_channels_last(gradient: Tensor) -> Tensor:
    # The gradient is a slice of that of a concatenation, which PyTorch would copy to channels first and back.
    return gradient.contiguous(memory_format=torch.channels_last)
