"""A small network to save and load, and files that are refused in one line."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import ResNet

from bus_lightning.core.errors import UserError
from bus_lightning.models.classifiers import resnet


def small_resnet(num_classes: int = 3, in_channels: int = 3, seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return resnet("basic", [1, 1, 1, 1], num_classes, in_channels).eval()


def answer(net: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = net(image)
    return logits


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


class Payload:
    """Something that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import sys; sys.weights_ran_code = True",)
