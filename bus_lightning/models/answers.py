"""Check that a network returns the logits that its task needs, because a loss accepts many wrong outputs silently."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from bus_lightning.core.errors import UserError, reason
from bus_lightning.models.heads import last_layers

Shapes = dict[str, tuple[int, ...]]  # by head: `mask`, `class`, or both in this order; -1 stands for any number

_ROUNDING = 1e-3  # tolerance around [0, 1]
_BEYOND = 0.5  # with large weights, logits leave [0, 1] by more than this; interpolation may leave it by a little
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


def check_answer(
    net: nn.Module, images: Tensor, shapes: Shapes, call: Callable[[Tensor], Any] | None = None
) -> dict[str, Tensor]:
    """Run a network on images and refuse outputs that are not logits.

    A log-softmax at the end of a classifier passes, because cross-entropy and probabilities are the same as for logits.

    Args:
        net: The network, in training or evaluation mode, which may give different outputs. It is not changed.
        images: (B, C, H, W) float32 on the network's device.
        shapes: Expected shapes by head, from `shapes_of`.
        call: Function that runs the network; None calls the network itself.

    Returns:
        The logits by head, with their graph.

    Raises:
        UserError: The network fails on such images; the output is not one tensor per head, has another shape or is not
            floating point; in training mode, it is not finite or depends on no weight; or it stays in [0, 1] whatever
            the weights of the last layer are, as after a sigmoid or softmax.
    """
    call = call or net
    with undisturbed(net), torch.enable_grad():
        answers = _named(net, _call(net, images, call), shapes)
        for head, answer in answers.items():
            _refuse_form(net, head, answer, shapes[head])
            _refuse_values(net, head, answer)
            if _is_squashed(head, [answer]):
                _refuse_squashed(net, head, answer, lambda: _named(net, call(images), shapes))
    return answers


@contextmanager
def undisturbed(net: nn.Module) -> Iterator[None]:
    """Restore a network's buffers and modes and the random stream after a block that runs the network."""
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
    """Call a network; where it fails, as on images of another size than it is made for, say which images it got."""
    try:
        return call(images)
    except Exception as error:
        when, why = "" if net.training else " in evaluation", " ".join(reason(error).split())
        raise UserError(f"{_of(net)} fails{when} on images {_written(tuple(images.shape))}: {why}") from error


def _named(net: nn.Module, answer: Any, shapes: Shapes) -> dict[str, Tensor]:
    """Return the tensors of an output by the names of the heads."""
    parts = [answer] if len(shapes) == 1 else list(answer) if isinstance(answer, tuple | list) else []
    if len(parts) == len(shapes) and all(isinstance(part, Tensor) for part in parts):
        return dict(zip(shapes, parts, strict=True))
    when = " in training" if net.training else ""
    wanted = " and ".join(f"the logits of the {head}, {_written(shape)}" for head, shape in shapes.items())
    form = f"a tensor, {wanted}" if len(shapes) == 1 else f"a tuple of {len(shapes)} tensors, {wanted}"
    raise UserError(
        f"{_of(net)} returns {_described(answer)}{when}, but must return {form}: set the option that turns off the "
        "other outputs (such as model.net.aux_logits=false), or use a module that returns only these."
    )


def _refuse_form(net: nn.Module, head: str, answer: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse an unexpected shape, and a dtype that is not floating point."""
    found, when = tuple(answer.shape), " in training" if net.training else ""
    if not answer.is_floating_point():
        raise UserError(
            f"{_of(net)} returns {str(answer.dtype).removeprefix('torch.')} for the {head}{when} instead of logits: "
            "remove argmax, threshold or rounding from its end (such as model.net.activation=null)."
        )
    if len(found) == len(shape) and all(want in (-1, have) for want, have in zip(shape, found, strict=True)):
        return
    if len(found) != len(shape) or found[0] != shape[0]:
        cure = "make it return a tensor with these dimensions"
    elif head == "class":
        cure = f"set its number of classes to {shape[1]} (such as model.net.num_classes='${{data.num_classes}}')"
    elif shape[1] not in (-1, found[1]):
        cure = "set its number of maps to 1 (such as model.net.classes=1): one logit per pixel, lesion or not"
    else:
        cure = "make it resize its output to the size of the image"
    raise UserError(
        f"{_of(net)} returns the shape {found} for the {head}{when}, but {_written(shape)} is needed: {cure}."
    )


def _refuse_values(net: nn.Module, head: str, answer: Tensor) -> None:
    """Refuse values that cannot be trained; in evaluation mode, untrained normalisation statistics may overflow."""
    if not net.training:
        return
    if not answer.isfinite().all():
        raise UserError(
            f"{_of(net)} returns values for the {head} that are not finite, before any training: check model.weights, "
            "the initial weights of model.net, and data.mean and data.std."
        )
    if not answer.requires_grad and any(parameter.requires_grad for parameter in net.parameters()):
        raise UserError(
            f"{_of(net)} returns values for the {head} without a gradient: remove argmax, threshold, detach or no_grad "
            "(such as model.net.activation=null)."
        )


def _is_squashed(head: str, answers: list[Tensor], tolerance: float = _ROUNDING) -> bool:
    """Tell whether all values of a head are in [0, 1]; for a mask, whether any map's are, or are never above 0."""
    # (maps, all other axes); for classes, all logits in one row
    maps = torch.cat([answer.detach().float().transpose(0, 1).flatten(1) for answer in answers], dim=1)
    if head == "class":
        maps = maps.reshape(1, -1)
    low, high = maps.amin(dim=1), maps.amax(dim=1)
    within = (low >= -tolerance) & (high <= 1 + tolerance)
    return bool((within | (high <= tolerance)).any() if head == "mask" else within.any())


def _refuse_squashed(net: nn.Module, head: str, answer: Tensor, again: Callable[[], dict[str, Tensor]]) -> None:
    """Refuse outputs that stay in [0, 1] when the weights and biases of the last layers are large, with either sign.

    Untrained logits may lie in [0, 1] by chance; those of a head of zeros always do.
    """
    last = last_layers(net, answer)
    changed = {name: net.get_parameter(name) for name in (*last.weights, *last.others)}
    kept = {name: parameter.detach().clone() for name, parameter in changed.items()}
    generator = torch.Generator().manual_seed(0)
    drawn = {name: _LARGE * torch.randn(old.shape, generator=generator).to(old) for name, old in changed.items()}
    answers = []
    with torch.no_grad():
        try:
            for of_weights, of_others in product((1, -1), repeat=2):
                for name, parameter in changed.items():
                    parameter.copy_(drawn[name] * (of_weights if name in last.weights else of_others))
                answers.append(again()[head])
        finally:
            for name, parameter in changed.items():
                parameter.copy_(kept[name])
    if not last.weights or not _is_squashed(head, answers, _BEYOND):
        return
    when = "" if net.training else " in evaluation"
    lowest = min(float(logits.min()) for logits in answers)
    bounds = "never above 0" if lowest < -_BEYOND else "always in [0, 1]"
    squashing = "sigmoid" if head == "mask" else "softmax"
    raise UserError(
        f"{_of(net)} returns probabilities for the {head}{when}: whatever the weights of its last layer, the values "
        f"are {bounds}, so the {squashing} would be applied twice. Make it return logits (such as "
        "model.net.activation=null)."
    )


def _of(net: nn.Module) -> str:
    return f"model.net ({type(net).__name__})"


def _written(shape: tuple[int, ...]) -> str:
    return f"({', '.join('S' if size == -1 else str(size) for size in shape)})"


def _described(answer: Any) -> str:
    """Describe a returned object that is not a single tensor."""
    name = type(answer).__name__
    article = "an" if name[0] in "AEIOUaeiou" else "a"
    if isinstance(answer, Mapping):
        return f"{article} {name} with {', '.join(map(str, answer)) or 'nothing'}"
    if isinstance(answer, tuple | list):
        fields = ", ".join(getattr(answer, "_fields", ())) or f"{len(answer)} entries"
        return f"{article} {name} of {fields}"
    return f"a tensor of the shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"{article} {name}"
