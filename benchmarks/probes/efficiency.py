"""How much of the machine the bare loop of a model uses, and on which operations its time goes."""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bare import DEVICE, BareLoop, bare_loop
from benchmarks.clock import stamp

_SIDE = 2048


def median_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Time something that has been done once before."""
    work()
    times = []
    for _ in range(repeats):
        begin = stamp()
        work()
        times.append(stamp() - begin)
    return median(times)


def matrix_product_flops(dtype: torch.dtype, repeats: int = 15) -> float:
    """Measure the FLOP/s of a large matrix product: what this machine can reach."""
    a, b = (torch.randn(_SIDE, _SIDE, device=DEVICE).to(dtype) for _ in range(2))
    return 2 * _SIDE**3 / median_seconds(lambda: a @ b, repeats)


def step_flops(loop: BareLoop) -> float:
    """Count the FLOPs of forward and backward of a batch, two per multiplication and addition.

    The backward pass does the forward's twice, for weights and for inputs, except for the images. torch's own
    count of it is not used: it takes the weight gradient of a grouped convolution for an ungrouped one.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        loop.net(loop.images)
    first = next(name for name, module in loop.net.named_modules() if isinstance(module, nn.Conv2d))
    counts = counter.get_flop_counts()
    of_first = sum(counts[f"{type(loop.net).__name__}.{first}"].values())
    return float(3 * counter.get_total_flops() - of_first)


def kind(operation: str) -> str:
    """Sort an operation into the columns of the table."""
    name = operation.lower()
    if "conv" in name:
        return "convolution backward" if "backward" in name else "convolution forward"
    if "batch_norm" in name or "batchnorm" in name:
        return "batch norm"
    if any(word in name for word in ("fused_", "optimizer")):
        return "optimizer"
    return "linear" if any(word in name for word in ("addmm", "aten::mm", "aten::linear")) else "rest"


def shares(loop: BareLoop, steps: int) -> dict[str, float]:
    """Profile steps and return each kind's share of the time."""
    activity = ProfilerActivity.CUDA if DEVICE.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        for _ in range(steps):
            loop.step()
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        spent[kind(event.key)] += event.self_device_time_total if DEVICE.type == "cuda" else event.self_cpu_time_total
    return {name: time_ / sum(spent.values()) for name, time_ in spent.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    loop = bare_loop(options.model, options.precision, "channels_last", options.batch, options.size)
    before = matrix_product_flops(dtype)
    seconds = median_seconds(loop.step, options.steps)
    after = matrix_product_flops(dtype)
    measured = {"flops": step_flops(loop), "seconds": seconds, "matrix_product": (before + after) / 2,
                "shares": shares(loop, 2)}  # fmt: skip
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
