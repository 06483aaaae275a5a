"""Time training steps of U2NET-Lite on images that are in memory already."""

import argparse
import json
import sys
import time
from statistics import median
from types import SimpleNamespace

import torch

from bus_lightning.models.u2net import u2net_lite
from bus_lightning.tasks.losses import SoftDiceLoss
from bus_lightning.tasks.segmentation import SegmentationTask
from bus_lightning.training.hardware import keep_freed_memory

_SKIPPED = 1  # the first step allocates memory


def time_steps(description: str | None, in_bfloat16: bool) -> None:
    """Run the command line of a probe; with bfloat16, it ends at once on a CPU that cannot compute in it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", required=True, help="an empty folder (not used)")
    parser.add_argument("--batch", type=int, default=8, help="images per step (default: %(default)s)")
    parser.add_argument("--size", type=int, default=320, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="timed steps (default: %(default)s)")
    options = parser.parse_args()
    if in_bfloat16 and not any(torch.cpu.get_capabilities().get(key) for key in ("avx512_bf16", "amx_bf16")):
        sys.exit("This CPU has no bfloat16, which would take several times as long in software.")
    keep_freed_memory()
    torch.manual_seed(0)
    task = SegmentationTask(
        net=u2net_lite(), loss=SoftDiceLoss(), classes=["benign"], optimizer=None, channels_last=True
    ).to(memory_format=torch.channels_last)
    task.trainer = SimpleNamespace(num_training_batches=1 + _SKIPPED + options.steps, world_size=1)  # type: ignore[assignment]
    task.on_train_epoch_start()
    images = torch.rand(options.batch, 3, options.size, options.size).to(memory_format=torch.channels_last)
    masks = (images.mean(dim=1, keepdim=True) > 0.5).float()
    batch = {"image": images, "mask": masks, "id": [str(number) for number in range(options.batch)]}
    optimizer = torch.optim.SGD(task.net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    walls, processors, losses = [], [], []
    for number in range(_SKIPPED + options.steps):
        wall, processor = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            loss = task.training_step(batch, number)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        losses.append(loss.item())
    seconds, worked = median(walls[_SKIPPED:]), median(processors[_SKIPPED:])
    print(json.dumps({"seconds": seconds, "processor_seconds": worked, "images_per_second": options.batch / seconds,
                      "losses": losses}))  # fmt: skip
