"""Time a training step of U2NET-Lite on images that are in memory already, as a run on this machine computes it."""

import argparse
import json
import time
from statistics import median

import torch

from bus_lightning.models.u2net import u2net_lite
from bus_lightning.tasks.losses import SoftDiceLoss
from bus_lightning.training.hardware import keep_freed_memory

_SKIPPED = 1  # the first step allocates memory


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, help="an empty folder (not used)")
    parser.add_argument("--batch", type=int, default=8, help="images per step (default: %(default)s)")
    parser.add_argument("--size", type=int, default=320, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="timed steps (default: %(default)s)")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    net = u2net_lite().to(memory_format=torch.channels_last)
    images = torch.rand(options.batch, 3, options.size, options.size).to(memory_format=torch.channels_last)
    masks = (images.mean(dim=1, keepdim=True) > 0.5).float()
    loss_function = SoftDiceLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    has_bfloat16 = any(torch.cpu.get_capabilities().get(key) for key in ("avx512_bf16", "amx_bf16"))
    walls, processors, losses = [], [], []
    for _ in range(_SKIPPED + options.steps):
        wall, processor = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16):
            loss = loss_function(net(images), masks)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        losses.append(loss.item())
    seconds, worked = median(walls[_SKIPPED:]), median(processors[_SKIPPED:])
    print(json.dumps({"seconds": seconds, "processor_seconds": worked, "images_per_second": options.batch / seconds,
                      "losses": losses}))  # fmt: skip


if __name__ == "__main__":
    main()
