"""Check that a network returns the logits that its task needs, because losses accept many wrong outputs silently."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from bus_lightning.core.errors import UserError, reason
from bus_lightning.models.heads import last_layers

Shapes = dict[str, tuple[int, ...]]  # by head: `mask`, `class`, or both in this order; -1 is any number

_ROUNDING = 1e-3  # tolerance around [0, 1]
_BEYOND = 0.5  # with large weights, logits are outside [0, 1] by more than this; interpolation by less
_LARGE = 1000.0  # standard deviation of the large weights


def shapes_of(task: str, images: Tensor, classes: int, sides: bool = False) -> Shapes:
    """Return the shapes of the logits that a network has to return for a task.

    Args:
        task: classification, segmentation or joint.
        images: (B, C, H, W).
        classes: Number of classes.
        sides: Whether the mask may have several maps, for deep supervision.
    """
    batch, _, height, width = images.shape
    mask: Shapes = {"mask": (batch, -1 if sides else 1, height, width)} if task != "classification" else {}
    return mask | ({"class": (batch, classes)} if task != "segmentation" else {})


def check_output(
    net: nn.Module, images: Tensor, shapes: Shapes, call: Callable[[Tensor], Any] | None = None
) -> dict[str, Tensor]:
    """Run a network on images and refuse outputs that are not logits.

    A log-softmax at the end of a classifier passes, because cross-entropy and probabilities are the same as for logits.

    Args:
        net: The network, in training or evaluation mode, whose outputs may differ. It is not changed.
        images: (B, C, H, W) float32 on the network's device.
        shapes: Expected shapes by head, from `shapes_of`.
        call: Function that runs the network; None calls the network itself.

    Returns:
        The logits by head, with their graph.

    Raises:
        UserError: If the network fails on such images; if the output is not one tensor per head, has another shape or
            is not floating point; in training mode, if it is not finite or depends on no weight; or if it stays in
            [0, 1] for any weights of the last layer, as after a sigmoid or softmax.
    """
    call = call or net
    with undisturbed(net), torch.enable_grad():
        outputs = _by_head(net, _call(net, images, call), shapes)
        for head, output in outputs.items():
            _refuse_form(net, head, output, shapes[head])
            _refuse_values(net, head, output)
            if _is_squashed(head, [output]):
                _refuse_squashed(net, head, output, lambda: _by_head(net, call(images), shapes))
    return outputs


@contextmanager
def undisturbed(net: nn.Module) -> Iterator[None]:
    """Restore a network's buffers and modes and the random stream after the block."""
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    modes = {module: module.training for module in net.modules()}
    devices = {tensor.device for tensor in net.parameters() if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            with torch.no_grad():
                for name, buffer in net.named_buffers():
                    if name in buffers:
                        buffer.copy_(buffers[name])


def _call(net: nn.Module, images: Tensor, call: Callable[[Tensor], Any]) -> Any:
    """Call a network; name the shape of the images if it fails, for example on images of an unsupported size."""
    try:
        return call(images)
    except Exception as error:
        when, why = "" if net.training else " in evaluation", " ".join(reason(error).split())
        raise UserError(f"{_name(net)} fails{when} on images {_format(tuple(images.shape))}: {why}") from error


def _by_head(net: nn.Module, output: Any, shapes: Shapes) -> dict[str, Tensor]:
    """Return the tensors of an output by the names of the heads."""
    parts = [output] if len(shapes) == 1 else list(output) if isinstance(output, tuple | list) else []
    if len(parts) == len(shapes) and all(isinstance(part, Tensor) for part in parts):
        return dict(zip(shapes, parts, strict=True))
    when = " in training" if net.training else ""
    expected = " and ".join(f"the logits of the {head}, {_format(shape)}" for head, shape in shapes.items())
    form = f"a tensor, {expected}" if len(shapes) == 1 else f"a tuple of {len(shapes)} tensors, {expected}"
    raise UserError(
        f"{_name(net)} returns {_describe(output)}{when}, but must return {form}: set the option that turns off the "
        "other outputs (such as model.net.aux_logits=false), or use a module that returns only these."
    )


def _refuse_form(net: nn.Module, head: str, output: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse an unexpected shape, and a dtype that is not floating point."""
    actual, when = tuple(output.shape), " in training" if net.training else ""
    if not output.is_floating_point():
        raise UserError(
            f"{_name(net)} returns {str(output.dtype).removeprefix('torch.')} for the {head}{when} instead of logits: "
            "remove argmax, threshold or rounding from its end (such as model.net.activation=null)."
        )
    if len(actual) == len(shape) and all(want in (-1, have) for want, have in zip(shape, actual, strict=True)):
        return
    if len(actual) != len(shape) or actual[0] != shape[0]:
        cure = "make it return a tensor with these dimensions"
    elif head == "class":
        cure = f"set its number of classes to {shape[1]} (such as model.net.num_classes='${{data.num_classes}}')"
    elif shape[1] not in (-1, actual[1]):
        cure = "set its number of maps to 1 (such as model.net.classes=1): one logit per pixel, lesion or not"
    else:
        cure = "make it resize its output to the size of the image"
    raise UserError(
        f"{_name(net)} returns the shape {actual} for the {head}{when}, but {_format(shape)} is needed: {cure}."
    )


def _refuse_values(net: nn.Module, head: str, output: Tensor) -> None:
    """Refuse values that cannot be trained; in evaluation mode, untrained normalisation statistics may overflow."""
    if not net.training:
        return
    if not output.isfinite().all():
        raise UserError(
            f"{_name(net)} returns values for the {head} that are not finite, before any training: check "
            "model.weights, the initial weights of model.net, and data.mean and data.std."
        )
    if not output.requires_grad and any(parameter.requires_grad for parameter in net.parameters()):
        raise UserError(
            f"{_name(net)} returns values for the {head} without a gradient: remove argmax, threshold, detach or "
            "no_grad (such as model.net.activation=null)."
        )


def _is_squashed(head: str, outputs: list[Tensor], tolerance: float = _ROUNDING) -> bool:
    """Check whether all values of a head are in [0, 1]; for a mask, whether those of a map are, or are at most 0."""
    # (maps, all other axes); for classes, all logits in one row
    maps = torch.cat([output.detach().float().transpose(0, 1).flatten(1) for output in outputs], dim=1)
    if head == "class":
        maps = maps.reshape(1, -1)
    low, high = maps.amin(dim=1), maps.amax(dim=1)
    within = (low >= -tolerance) & (high <= 1 + tolerance)
    return bool((within | (high <= tolerance)).any() if head == "mask" else within.any())


def _refuse_squashed(net: nn.Module, head: str, output: Tensor, run_again: Callable[[], dict[str, Tensor]]) -> None:
    """Refuse outputs that stay in [0, 1] if the weights and biases of the last layers are large, with either sign.

    Untrained logits may be in [0, 1] by chance; those of a head of zeros always are.
    """
    last = last_layers(net, output)
    changed = {name: net.get_parameter(name) for name in (*last.weights, *last.others)}
    saved = {name: parameter.detach().clone() for name, parameter in changed.items()}
    generator = torch.Generator().manual_seed(0)
    drawn = {name: _LARGE * torch.randn(old.shape, generator=generator).to(old) for name, old in changed.items()}
    outputs = []
    with torch.no_grad():
        try:
            for of_weights, of_others in product((1, -1), repeat=2):
                for name, parameter in changed.items():
                    parameter.copy_(drawn[name] * (of_weights if name in last.weights else of_others))
                outputs.append(run_again()[head])
        finally:
            for name, parameter in changed.items():
                parameter.copy_(saved[name])
    if not last.weights or not _is_squashed(head, outputs, _BEYOND):
        return
    when = "" if net.training else " in evaluation"
    lowest = min(float(logits.min()) for logits in outputs)
    bounds = "never above 0" if lowest < -_BEYOND else "always in [0, 1]"
    squashing = "sigmoid" if head == "mask" else "softmax"
    raise UserError(
        f"{_name(net)} returns probabilities for the {head}{when}: for any weights of its last layer, the values "
        f"are {bounds}, so the {squashing} would be applied twice. Make it return logits (such as "
        "model.net.activation=null)."
    )


def _name(net: nn.Module) -> str:
    return f"model.net ({type(net).__name__})"


def _format(shape: tuple[int, ...]) -> str:
    return f"({', '.join('S' if size == -1 else str(size) for size in shape)})"


def _describe(output: Any) -> str:
    """Describe a returned object that is not a single tensor."""
    name = type(output).__name__
    article = "an" if name[0] in "AEIOUaeiou" else "a"
    if isinstance(output, Mapping):
        return f"{article} {name} with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        fields = ", ".join(getattr(output, "_fields", ())) or f"{len(output)} entries"
        return f"{article} {name} of {fields}"
    return f"a tensor of the shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"{article} {name}"
