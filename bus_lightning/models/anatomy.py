"""What a network is made of and what it costs, counted in one call on one image."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bus_lightning.core.reading import LARGEST_WHOLE

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def count_weights(net: nn.Module) -> dict[str, int]:
    """Count `parameters`, and `weight_bytes` of the state dict in float32, whatever precision the network has."""
    stored = net.state_dict().values()
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "weight_bytes": sum(
            value.numel() * (4 if value.is_floating_point() else value.element_size()) for value in stored
        ),
    }


def trace_layers(net: nn.Module, channels: int, size: int) -> dict[str, Any]:
    """Call a network once, count its arithmetic and list its layers.

    Args:
        net: The network, in eval mode; on the meta device, nothing is computed.
        channels: Channels of the image.
        size: Height and width of the image, in pixels.

    Returns:
        `macs`: multiply-accumulates of the convolutions and matrix products for the image; `layers`: for each child
        that has parameters and returns a tensor, its `name`, `kind` (type), `shape` (of its output, without the batch),
        `parameters`, `blocks` (number of its children and type of the first, or empty), `groups` (number and width of
        the groups of its first grouped convolution, or empty) and `options` (its attributes that are whole numbers or
        flags).
    """
    weight = next(net.parameters())
    image = torch.zeros(1, channels, size, size, device=weight.device, dtype=weight.dtype)
    shapes: dict[nn.Module, list[int]] = {}

    def note_shape(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = list(output.shape[1:])

    hooks = [module.register_forward_hook(note_shape) for module in net.children()]
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fast kernels of attention are not counted
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            net(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
        for hook in hooks:
            hook.remove()
    layers = [_describe(name, module, shapes[module]) for name, module in net.named_children() if module in shapes]
    # One multiply-accumulate counts as two operations.
    return {"macs": counter.get_total_flops() // 2, "layers": [layer for layer in layers if layer["parameters"]]}


def _describe(name: str, module: nn.Module, shape: list[int]) -> dict[str, Any]:
    blocks = list(module.children())
    convolutions = (layer for layer in module.modules() if isinstance(layer, _CONVOLUTIONS))
    grouped = next((layer for layer in convolutions if layer.groups > 1), None)
    return {
        "name": name,
        "kind": type(module).__name__,
        "shape": shape,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "blocks": [len(blocks), type(blocks[0]).__name__] if blocks else [],
        "groups": [grouped.groups, grouped.out_channels // grouped.groups] if grouped else [],
        "options": {
            option: value
            for option, value in vars(module).items()
            if type(value) in (int, bool)
            and abs(value) <= LARGEST_WHOLE
            and not option.startswith("_")
            and option != "training"
        },
    }
