"""Training steps of a model with PyTorch's gradients and with the framework's own, in turn."""

import argparse
import json
from contextlib import nullcontext
from typing import Any

import torch

from benchmarks.bare import BareLoop, bare_loop
from benchmarks.clock import stamp
from bus_lightning.tasks.fast_gradients import FastGradients
from bus_lightning.training.hardware import keep_freed_memory


def timed_step(loop: BareLoop, mode: Any) -> float:
    """Train on the batch once, and return the seconds."""
    begin = stamp()
    with mode:
        loss = loop.forward()
    loop.optimizer.zero_grad()
    torch.autograd.backward(loss)
    loop.optimizer.step()
    return stamp() - begin


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="name of a config in conf/model")
    parser.add_argument("--precision", choices=["bf16", "fp32"], required=True)
    parser.add_argument("--batch", type=int, default=16, help="images per step (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each kind (default: %(default)s)")
    options = parser.parse_args()
    keep_freed_memory()
    loop = bare_loop(options.model, options.precision, "channels_last", options.batch, options.size)
    for mode in (nullcontext(), FastGradients()):  # the first steps allocate memory
        timed_step(loop, mode)
    pairs = [[timed_step(loop, mode) for mode in (nullcontext(), FastGradients())] for _ in range(options.repeats)]
    print(json.dumps({"pairs": pairs}))


if __name__ == "__main__":
    main()
