"""Single layers of DeepCardinal-50: its grouped convolutions, and what they would cost in larger blocks."""

import argparse
import json

import torch
from torch import nn

from benchmarks.bare import DEVICE
from benchmarks.probes.efficiency import median_seconds

GROUPS, BLOCK = 32, 16  # channels per block that a block-diagonal kernel would take
STAGES = ((128, 56), (256, 28), (512, 14), (1024, 7))  # channels of the 3x3 convolution, side in pixels


def cases() -> list[tuple[str, nn.Conv2d, int]]:
    """List the layers: name, layer, side of its input."""
    layers = []
    for channels, side in STAGES:
        merged = channels // max(BLOCK, channels // GROUPS)
        for groups in dict.fromkeys((GROUPS, merged)):
            name = f"3x3, {channels} channels, {side}², {groups} groups of {channels // groups}"
            layers.append((name, nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False), side))
    layers.append(("1x1, 256 to 128 channels, 56²", nn.Conv2d(256, 128, 1, bias=False), 56))
    return layers


def measure_layer(name: str, layer: nn.Conv2d, side: int, bf16: bool, batch: int, repeats: int) -> dict[str, object]:
    """Time forward and backward of a layer.

    Returns:
        Milliseconds, and GFLOP/s by what the layer itself has to compute.
    """
    layer = layer.to(DEVICE).to(memory_format=torch.channels_last)
    dtype = torch.bfloat16 if bf16 else torch.float32
    shape = (batch, layer.in_channels, side, side)
    images = torch.randn(shape, device=DEVICE, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()

    def forward() -> torch.Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            answer: torch.Tensor = layer(images)
        return answer

    gradient = torch.randn_like(forward())
    ahead = median_seconds(forward, repeats)
    both = median_seconds(lambda: torch.autograd.backward(forward(), gradient), repeats)
    per_pixel = layer.weight[0].numel()  # multiplications per output value
    gflop = 2 * gradient.numel() * per_pixel / 1e9
    return {"name": name, "forward_ms": 1e3 * ahead, "backward_ms": 1e3 * (both - ahead),
            "forward_gflops": gflop / ahead, "backward_gflops": 2 * gflop / (both - ahead)}  # fmt: skip


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    bf16 = options.precision == "bf16"
    print(json.dumps([measure_layer(*case, bf16, options.batch, options.repeats) for case in cases()]))


if __name__ == "__main__":
    main()
