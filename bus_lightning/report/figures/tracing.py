"""What a network consists of, found by building it from a run's config and calling it once.

It is built on PyTorch's meta device, which keeps shapes and no numbers: even the largest network takes no memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from bus_lightning.config.build import build_net

if TYPE_CHECKING:
    from torch import Tensor, nn

# What has no say of its own: it joins the box before it, and is not named there.
SILENT = re.compile(r"^(?!.*Conv).*(Norm|ReLU|SiLU|GELU|Hard|Swish|Dropout|Identity|Flatten|Activation)")


@dataclass
class Call:
    """A module as it was called.

    Attributes:
        name: Path of the module in the network.
        module: The module.
        shape: Of its last output, without the batch: (C, H, W), (C,) or any other.
        takes: Identities of the tensors that went in.
        gives: Identities of the tensors that came out.
    """

    name: str
    module: "nn.Module"
    shape: tuple[int, ...] = ()
    takes: set[int] = field(default_factory=set)
    gives: set[int] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """Name of its class."""
        return type(self.module).__name__

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())


@dataclass
class Box:
    """A part of the network that is drawn as one box: a module, and those without a say of their own behind it."""

    calls: list[Call]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its output, without the batch, before anything flattens it."""
        speaking = [call for call in self.calls if not SILENT.search(call.kind)]
        return (speaking or self.calls)[-1].shape

    @property
    def channels(self) -> int:
        """Number of channels of its output; of tokens it is their width."""
        return self.shape[1] if len(self.shape) == 2 else self.shape[0]

    @property
    def pixels(self) -> int:
        """Number of places in its output, 1 where there is no map any more."""
        return prod(self.shape) // self.channels

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return sum(call.parameters for call in self.calls)

    @property
    def takes(self) -> set[int]:
        """Identities of the tensors that go into its first module."""
        return self.calls[0].takes

    @property
    def gives(self) -> set[int]:
        """Identities of the tensors that come out of any of its modules."""
        return set().union(*(call.gives for call in self.calls))


def trace(config: DictConfig) -> dict[str, Call]:
    """Build the network of a run on the meta device and call it once.

    Args:
        config: The run's config.

    Returns:
        Name -> every module that was called, in the order of the first calls; the network itself is the first, "".
    """
    import torch

    calls: dict[str, Call] = {}
    with torch.device("meta"), torch.no_grad():
        net = build_net(config.model, bool(config.debug_size)).eval()
        image = torch.zeros(1, config.data.channels, config.data.size, config.data.size)
        kept: list[Tensor] = [image]  # while they live no other tensor can have their identity

        for name, module in net.named_modules():

            def before(module: "nn.Module", args: Any, kwargs: Any, name: str = name) -> None:
                call = calls.setdefault(name, Call(name, module))
                call.takes |= {id(tensor) for tensor in _tensors([args, kwargs])}

            def after(module: "nn.Module", args: Any, output: Any, name: str = name) -> None:
                outputs = list(_tensors(output))
                kept.extend(outputs)
                calls[name].gives |= {id(tensor) for tensor in outputs}
                calls[name].shape = _channels_first(tuple(outputs[-1].shape[1:]))

            module.register_forward_pre_hook(before, with_kwargs=True)
            module.register_forward_hook(after)
        net(image)
    return calls


def _tensors(thing: Any) -> "Iterator[Tensor]":
    """List the tensors in nested lists, tuples and dicts."""
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, list | tuple):
        for part in thing:
            yield from _tensors(part)
    elif hasattr(thing, "shape"):
        yield thing


def _channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Bring (H, W, C), as some transformers have it, to (C, H, W); maps of square images are square."""
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        return shape[2], *shape[:2]
    return shape


def convolutions(module: "nn.Module") -> list["nn.Conv2d"]:
    """List the convolutions on a module's main path: without those that only fit its shortcut."""
    from torch import nn

    layers = module.named_modules()
    return [layer for name, layer in layers if isinstance(layer, nn.Conv2d) and "downsample" not in name]


def boxes_of(calls: dict[str, Call], most: int) -> list[Box]:
    """Divide a network into few boxes, its largest parts first.

    A sequence of equal blocks stays one box, a sequence of different modules is taken apart; so are the children of
    the network itself, such as an encoder. Norms, activations and pooling join the box before them.

    Args:
        calls: From `trace`.
        most: Number of boxes at most.

    Returns:
        The boxes in the order of the calls.
    """
    from torch import nn

    parts, whole = _children(calls, ""), set[str]()
    while open_ := [call for call in parts if call.name not in whole and _can_be_opened(calls, call)]:
        largest = max(open_, key=lambda call: call.parameters)
        place = parts.index(largest)
        opened = [*parts[:place], *_children(calls, largest.name), *parts[place + 1 :]]
        boxes = _join(opened)
        # In a sequence neighbours of one size can become one box again; in a decoder they need not stand in a row.
        in_a_row = isinstance(largest.module, nn.Sequential)
        if (len(list(groupby(box.pixels for box in boxes))) if in_a_row else len(boxes)) <= most:
            parts = opened
        else:
            whole.add(largest.name)
    boxes = _join(parts)
    while len(boxes) > most:  # the smallest neighbours become one, first those whose maps have the same size
        pairs = [(one.pixels != two.pixels, one.parameters + two.parameters) for one, two in pairwise(boxes)]
        place = pairs.index(min(pairs))
        boxes[place : place + 2] = [Box([*boxes[place].calls, *boxes[place + 1].calls])]
    return boxes


def _children(calls: dict[str, Call], name: str) -> list[Call]:
    """List the modules called just below a module; a list of modules is not called itself, but what it holds is."""
    below = [other for other in calls if other != name and other.startswith(f"{name}." if name else "")]
    return [calls[other] for other in below if not any(other.startswith(f"{parent}.") for parent in below)]


def _can_be_opened(calls: dict[str, Call], call: Call) -> bool:
    from torch import nn

    if SILENT.search(call.kind) or not call.parameters:
        return False
    children = _children(calls, call.name)
    kinds = {type(child.module) for child in children}
    if isinstance(call.module, nn.Sequential):
        return len(kinds) > 1 or kinds == {nn.Sequential}
    return "." not in call.name and len(children) > 1


def _join(parts: list[Call]) -> list[Box]:
    boxes: list[Box] = []
    for place, call in enumerate(parts):
        # What a head stands on is worth a box, and so is a map that is taken up further on.
        pools_all = boxes and prod(call.shape) == boxes[-1].channels < prod(boxes[-1].shape)
        is_taken = boxes and any(boxes[-1].gives & later.takes for later in parts[place + 1 :])
        is_small = not call.parameters or SILENT.search(call.kind)
        if boxes and is_small and not pools_all and not (is_taken and call.shape != boxes[-1].shape):
            boxes[-1].calls.append(call)
        else:
            boxes.append(Box([call]))
    return boxes
