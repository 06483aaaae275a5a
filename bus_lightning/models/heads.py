"""Find the head of a network, its last layer, and initialise it for K classes.

Some libraries scale a head's initial weights by its number of outputs, which suits 1000 classes: with three classes,
the logits are several units large, far from even probabilities. A head from `draw_head` starts near even probabilities,
at a loss of ln K.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_STD = 0.01  # largest standard deviation of a head's weights
_LOGITS = 0.1  # standard deviation of the logits for features of unit size
_WIDE = 1.25  # times the spread of PyTorch's linear layer; a head with few weights may exceed 1 by chance


class LastLayers(NamedTuple):
    """Names of the last parameters that an output depends on."""

    weights: list[str]  # of the last layers; only those with K outputs, if there are any
    others: list[str]  # parameters after these weights: biases, and factors such as those of a normalisation


def last_layers(net: nn.Module, output: Tensor) -> LastLayers:
    """Find the last layers that an output depends on, from its graph rather than from names or order.

    Args:
        net: The network.
        output: Its output, (B, K, ...), with its graph.

    Returns:
        The names; empty if the output depends on no parameter.
    """
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    last: dict[str, Tensor] = {}
    waiting, visited = deque([output.grad_fn]), set()
    while waiting:
        node: Any = waiting.popleft()
        if node is None or node in visited:
            continue
        visited.add(node)
        following = [child for child, _ in node.next_functions]
        own = [leaf for leaf in map(_leaf, following) if leaf is not None and id(leaf) in names]
        last |= {names[id(leaf)]: leaf for leaf in own}
        # A bias, a factor or a normalisation has one dimension, and the layer comes before it.
        if all(leaf.ndim < 2 for leaf in own):
            waiting.extend(following)
    outputs = output.shape[1] if output.ndim > 1 else 1
    weights = [name for name, leaf in last.items() if leaf.ndim > 1]
    # If a weight is computed from others (weight_norm), the search continues with earlier layers with other outputs.
    of_head = [name for name in weights if has_outputs(last[name], outputs)]
    return LastLayers(of_head or weights, [name for name, leaf in last.items() if leaf.ndim < 2])


def draw_head(net: nn.Module, weights: Iterable[str], classes: int) -> None:
    """Initialise a head: weights from N(0, std) with std = min(0.01, 0.1 / sqrt(inputs)), biases 0.

    The random stream is restored afterwards.

    Args:
        net: The network, changed in place.
        weights: Names of the head's weights.
        classes: Number of outputs of the head.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for name in weights:
            weight = net.get_parameter(name)
            # Drawn on the CPU: the same on every device.
            weight.copy_(torch.randn(weight.shape) * min(_STD, _LOGITS / math.sqrt(_inputs(weight, classes))))
            if (bias := _bias_of(net, name)) is not None:
                bias.zero_()


def has_outputs(weight: Tensor, outputs: int) -> bool:
    """Check whether a weight can belong to a layer with that many outputs; a matrix may be transposed."""
    return outputs in (weight.shape[:2] if weight.ndim == 2 else weight.shape[:1])


def is_wide(net: nn.Module, weights: Iterable[str], classes: int) -> bool:
    """Check whether a weight spreads over 1.25 times wider than U(-1/sqrt(n), 1/sqrt(n)), PyTorch's for n inputs."""
    layers = [net.get_parameter(name).detach() for name in weights]
    return any(_WIDE / math.sqrt(3 * _inputs(layer, classes)) < layer.float().std(correction=0) for layer in layers)


def _bias_of(net: nn.Module, weight: str) -> nn.Parameter | None:
    """Find the bias of the layer that a weight belongs to."""
    owner = weight.rpartition(".")[0].partition(".parametrizations.")[0].removesuffix("parametrizations")
    bias = getattr(net.get_submodule(owner.rstrip(".")), "bias", None)
    return bias if isinstance(bias, nn.Parameter) else None


def loss_over_ln_k(logits: Tensor) -> float:
    """Divide the cross-entropy of logits (B, K), averaged over all labels, by that of even probabilities, ln K.

    Returns:
        The ratio, at least 1; 1 if the logits are not finite.
    """
    logits = logits.detach().double()
    loss = float((logits.logsumexp(dim=1) - logits.mean(dim=1)).mean())
    return loss / math.log(logits.shape[1]) if math.isfinite(loss) else 1.0


def _leaf(node: Any) -> Tensor | None:
    """Return the parameter behind a node that only casts or transposes it; None for any other node."""
    while node is not None and not hasattr(node, "variable"):
        following = node.next_functions
        node = following[0][0] if len(following) == 1 else None
    return None if node is None else node.variable


def _inputs(weight: Tensor, classes: int) -> int:
    is_transposed = weight.ndim == 2 and weight.shape[0] != classes == weight.shape[1]
    return weight.shape[0] if is_transposed else weight[0].numel()
