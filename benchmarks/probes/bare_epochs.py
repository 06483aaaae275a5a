"""Time the bare loop of several networks, one after another: all steps as one span, without the first ones."""

import argparse
import gc
import json
from pathlib import Path

import torch

from benchmarks.bare import bare_loop
from benchmarks.clock import stamp
from benchmarks.stamps import SKIPPED
from bus_lightning.core.files import write_aside


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="+", help="as model:precision:layout:batch:size")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON with images/s, written after each network")
    parser.add_argument("--debug-size", action="store_true", help="small networks")
    options = parser.parse_args()
    rates: dict[str, float] = {}
    for network in options.networks:
        model, precision, layout, batch, size = network.split(":")
        loop = bare_loop(model, precision, layout, int(batch), int(size), options.debug_size)
        for _ in range(SKIPPED):
            loop.step()
        begin = stamp()
        for _ in range(options.steps):
            loop.step()
        rates[model] = options.steps * int(batch) / (stamp() - begin)
        del loop
        gc.collect()
        torch.cuda.empty_cache()
        write_aside(options.out, json.dumps(rates))


if __name__ == "__main__":
    main()
