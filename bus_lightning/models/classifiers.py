"""Build torchvision's ResNets and AlexNet for any number of classes and channels.

The tensors keep torchvision's names, so its published weights fit.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torchvision.models import AlexNet, ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from bus_lightning.core.errors import UserError

_HIDDEN = 4096  # units in each hidden layer of AlexNet
_BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def resnet(
    block: Literal["basic", "bottleneck"],
    layers: Sequence[int],
    num_classes: int,
    in_channels: int = 3,
    groups: int = 1,
    width_per_group: int = 64,
) -> ResNet:
    """Build a ResNet or ResNeXt: (B, in_channels, H, W) images to (B, num_classes) logits.

    Args:
        block: "basic" (two 3x3 convolutions, as in ResNet-34) or "bottleneck" (1x1, 3x3 and 1x1, as in ResNet-50).
        layers: Number of blocks in each of the four stages.
        num_classes: Number of logits.
        in_channels: Number of image channels.
        groups: Groups of the 3x3 convolutions; above 1 it is a ResNeXt (its "cardinality").
        width_per_group: Channels per group in the first stage.

    Raises:
        UserError: If `block` is unknown.

    References:
        He et al., Deep Residual Learning for Image Recognition, 2016.
        Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017.
    """
    if block not in _BLOCKS:
        raise UserError(f"model.net.block={block} is unknown: choose one of {', '.join(_BLOCKS)}.")
    net = ResNet(_BLOCKS[block], list(layers), num_classes, groups=groups, width_per_group=width_per_group)
    if in_channels != net.conv1.in_channels:
        net.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        # Torchvision's initialisation of the convolutions of a ResNet.
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return net


def alexnet(num_classes: int, in_channels: int = 3, hidden: int = _HIDDEN, dropout: float = 0.5) -> AlexNet:
    """Build AlexNet: (B, in_channels, H, W) images to (B, num_classes) logits, H and W at least 63.

    Args:
        num_classes: Number of logits.
        in_channels: Number of image channels.
        hidden: Width of the two hidden fully connected layers; fewer make a small AlexNet.
        dropout: Probability of dropping an input of a hidden fully connected layer, in [0, 1].

    References:
        Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.
    """
    wide = hidden == _HIDDEN
    net = AlexNet(num_classes=num_classes, dropout=dropout) if wide else _narrow_alexnet(num_classes, hidden, dropout)
    if in_channels != 3:
        net.features[0] = nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2)
    return net


def _narrow_alexnet(num_classes: int, hidden: int, dropout: float) -> AlexNet:
    """Build an AlexNet with fewer hidden units; the wide layers, which take long to initialise, get no weights."""
    device = torch.get_default_device()
    with torch.device("meta"):
        net = AlexNet(num_classes=num_classes, dropout=dropout)
    net.features.to_empty(device=device)
    for layer in net.features:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    net.classifier[1] = nn.Linear(256 * 6 * 6, hidden)
    net.classifier[4] = nn.Linear(hidden, hidden)
    net.classifier[6] = nn.Linear(hidden, num_classes)
    return net
