"""The bare loop: plain PyTorch, one batch that is in memory already, no data, no logging, no framework.

It is the upper bound of what the framework can reach with the same network, precision and optimizer.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn

from benchmarks.clock import stamp
from benchmarks.stamps import step_seconds, write_stamps
from bus_lightning.config.build import build, build_net
from bus_lightning.training.hardware import keep_freed_memory

CONF = Path(__file__).parent.parent / "conf"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class BareLoop:
    """A network, its loss, its optimizer and one batch.

    Attributes:
        images: (B, 3, size, size) float32.
        target: (B,) int64 labels, or (B, 1, size, size) float32 masks.
        bf16: Whether the forward pass runs in bfloat16 autocast.
    """

    net: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    target: Tensor
    bf16: bool

    def forward(self) -> Tensor:
        """Compute the loss."""
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.bf16):
            loss: Tensor = self.loss(self.net(self.images), self.target)
        return loss

    def step(self) -> None:
        """Train on the batch once."""
        loss = self.forward()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()


def composed(*overrides: str) -> DictConfig:
    """Compose the project's config as `train.py` does."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*overrides])
    cfg.data.num_classes = 3
    return cfg


def bare_loop(model: str, precision: str, layout: str, batch: int, size: int, debug_size: bool = False) -> BareLoop:
    """Build the loop of one of the project's models with the loss and the optimizer that its config names.

    Args:
        model: Name of a config in `conf/model`.
        precision: bf16 or fp32.
        layout: channels_last or contiguous.
        batch: Images per step.
        size: Side of an image, in pixels.
        debug_size: Whether the network is a small one, as for tests.
    """
    torch.manual_seed(0)
    cfg = composed(f"model={model}")
    memory_format = getattr(torch, "channels_last" if layout == "channels_last" else "contiguous_format")
    net = build_net(cfg.model, debug_size=debug_size).to(DEVICE, memory_format=memory_format)
    images = torch.randn(batch, 3, size, size, device=DEVICE).to(memory_format=memory_format)
    labels = torch.randint(0, 3, (batch,), device=DEVICE)
    masks = (torch.rand(batch, 1, size, size, device=DEVICE) > 0.9).float()
    optimizer = build(cfg.optimizer, fused=True)(net.parameters())
    target = masks if cfg.task.name == "segmentation" else labels
    return BareLoop(net, build(cfg.task.loss), optimizer, images, target, precision == "bf16")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description=__doc__)
    parser.add_argument("model", help="name of a config in conf/model")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--layout", choices=["channels_last", "contiguous"], default="channels_last")
    parser.add_argument("--batch", type=int, default=16, help="images per step (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=9, help="number of steps (default: %(default)s)")
    parser.add_argument("--clock", type=Path, required=True, help="JSON for the time stamps")
    parser.add_argument(
        "--keep-memory", action="store_true", help="do not give freed memory back, as the framework does"
    )
    parser.add_argument("--compile", action="store_true", help="compile the network first, in the first step")
    options = parser.parse_args()
    if options.keep_memory:
        keep_freed_memory()
    loop = bare_loop(options.model, options.precision, options.layout, options.batch, options.size)
    if options.compile:
        loop.net.compile()
    starts = []
    for _ in range(options.steps):
        starts.append(stamp())
        loop.step()
    write_stamps(options.clock, starts)
    print(f"{options.batch / median(step_seconds(options.clock)):.1f} images/s")


if __name__ == "__main__":
    main()
