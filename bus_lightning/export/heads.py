"""Find what a class activation map needs: the last feature map, and the weights of the one layer after its average."""

from dataclasses import dataclass

import numpy as np
import torch
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from torch import Tensor, nn

_POOLS = (nn.AdaptiveAvgPool2d, SelectAdaptivePool2d)
_TOLERANCE = 1e-4  # relative to the largest logit


@dataclass(frozen=True)
class Head:
    """The end of a network that averages its last feature map and applies one linear layer."""

    pool: nn.Module  # averages the feature map, (B, F, h, w)
    call: int  # of the pool in a pass through the network, from 0: which one averages that map
    weights: np.ndarray  # (K, F) float32 of the linear layer


def find_head(net: nn.Module, images: Tensor) -> Head | None:
    """Find the head of a network in evaluation mode by running it on a batch of images, (B, C, H, W).

    The logits of the classes, (B, K), are its output, or the last one of several.

    Returns:
        None if the logits are not weighted means of a feature map.
    """
    inputs_of_pools: list[tuple[nn.Module, Tensor]] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs_of_pools.append((layer, inputs[0]))

    hooks = [layer.register_forward_pre_hook(keep) for layer in net.modules() if isinstance(layer, _POOLS)]
    try:
        with torch.inference_mode():
            output = net(images)
            logits = output if isinstance(output, Tensor) else output[-1]
    finally:
        for hook in hooks:
            hook.remove()
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    # A network with two heads may list and call them in any order.
    for position, (pool, features) in reversed([*enumerate(inputs_of_pools)]):
        for last in reversed(linear):
            if _gives(logits, features, last):
                call = sum(earlier is pool for earlier, _ in inputs_of_pools[:position])
                return Head(pool, call, last.weight.detach().numpy().astype(np.float32).copy())
    return None


def _gives(logits: Tensor, features: Tensor, last: nn.Linear) -> bool:
    """Return whether the logits are a linear layer of the average of a feature map."""
    if features.ndim != 4 or features.shape[1] != last.in_features or features[0, 0].numel() < 2:  # a point is no map
        return False
    with torch.inference_mode():
        expected = features.mean(dim=(2, 3)) @ last.weight.T + (0.0 if last.bias is None else last.bias)
    tolerance = _TOLERANCE * max(1.0, float(logits.abs().max()))
    return expected.shape == logits.shape and bool((expected - logits).abs().max() <= tolerance)


class WithFeatures(nn.Module):
    """A network that also returns the feature map that its head averages."""

    def __init__(self, net: nn.Module, head: Head) -> None:
        super().__init__()
        self.net = net
        self._pool, self._call = [head.pool], head.call  # a list, so that the layer is not registered twice

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the network's outputs, the logits (B, K) last, and the feature map (B, F, h, w)."""
        kept: list[Tensor] = []
        hook = self._pool[0].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        output = self.net(image)
        hook.remove()
        return (*((output,) if isinstance(output, Tensor) else output), kept[self._call])
