"""Our networks by the name of their config, small enough for a test, and images for them."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

FOLDER = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load(name: str) -> DictConfig:
    """Read one file, over the file that it inherits from, if it does."""
    config = OmegaConf.load(FOLDER / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    for default in config.pop("defaults"):
        if isinstance(default, str) and default != "_self_":
            config = DictConfig(OmegaConf.merge(load(default), config))
    return config


def model_config(name: str, classes: int = 3, channels: int = 3) -> DictConfig:
    """Compose the `model` section of one file as Hydra does, for data of these sizes."""
    file = load(name)
    data = {"data": {"num_classes": classes, "channels": channels}}
    config = OmegaConf.merge(file if "model" in file else {"model": file}, data)
    OmegaConf.resolve(config)
    model = config.model
    assert isinstance(model, DictConfig)
    return model


@cache
def debug_net(name: str, channels: int = 3) -> nn.Module:
    """Build the debug size of a network for evaluation; the tests share it."""
    torch.manual_seed(0)
    model = model_config(name, channels=channels)
    net: nn.Module = instantiate(OmegaConf.merge(model.net, model.debug_size), _convert_="all")
    return net.eval()


def task(name: str) -> str:
    """The task that the file picks."""
    defaults: Any = OmegaConf.load(FOLDER / f"{name}.yaml").defaults
    for entry in defaults:
        if isinstance(entry, str) and entry != "_self_":
            return task(entry)
        if isinstance(entry, DictConfig):
            return str(next(iter(entry.values())))
    raise AssertionError(f"{name} picks no task")


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))
