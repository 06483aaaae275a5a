"""Checks before the first training step: whether the network returns logits, and whether its head starts small."""

import logging
import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from bus_lightning.models.heads import draw_head, has_outputs, is_wide, last_layers, loss_over_ln_k
from bus_lightning.models.output_check import check_output, shapes_of, undisturbed
from bus_lightning.tasks.base import BusTask

log = logging.getLogger(__name__)

_DRAWN, _ANY = 1.02, 1.2  # largest loss in units of ln K, for a head initialised here and for any other
_HALVINGS = 30


def check_logits(task: BusTask, images: Tensor, name: str, modes: Collection[bool] = (True, False)) -> Tensor | None:
    """Refuse a network that does not return the logits that its task needs.

    Args:
        task: The task with its network, which are not changed.
        images: (B, C, H, W) float32.
        name: Name of the task: classification, segmentation or joint.
        modes: Modes to check: True is training, False evaluation; the logits of the last one are returned.

    Returns:
        The logits of the classes (B, K), with their graph; None if the task has no classes.

    Raises:
        UserError: One line that names model.net and the cure.
    """
    outputs: dict[str, Tensor] = {}
    with undisturbed(task.net):
        for training in modes:
            task.net.train(training)
            sides = training and bool(getattr(task, "deep_supervision", False))
            shapes = shapes_of(name, images, len(task.classes), sides)
            outputs = check_output(task.net, images, shapes, task.training_logits if training else task)
    return outputs.get("class")


def start_small(
    task: BusTask,
    images: Tensor,
    logits: Tensor,
    drawn: Collection[str] | None,
    again: Callable[[], nn.Module],
) -> str | None:
    """Make an untrained head start near even probabilities, where the cross-entropy of K classes is ln K.

    Libraries initialise heads for 1000 classes; for three classes, some start at several times ln 3, which disturbs the
    encoder. A head is initialised again (`draw_head`) in two cases:

    - weights were loaded, but not for the head, as with another number of classes, and the loss is above 1.02 ln K or
      the head's weights are wider than in the next case;
    - no weights were loaded, and the head's weights spread over 1.25 times wider than in PyTorch's linear layer, or the
      loss in training mode is above 1.2 ln K.

    The new weights are then halved until the loss, on these images and on noise, is at most 1.02 ln K, in training mode
    and, if weights were loaded, in evaluation mode.

    Every other head stays as it is: one from a file, one that a library has loaded, and one with PyTorch's usual
    initialisation, as in torchvision's ResNets and AlexNet.

    Args:
        task: The task, whose network is changed in place.
        images: (B, C, H, W) float32, B >= 2.
        logits: The network's output for them, (B, K), with its graph.
        drawn: Names of the tensors that were not among the loaded weights; None if no weights were loaded.
        again: Function that builds the network again.

    Returns:
        One line that says which head was initialised again and why, which is also logged; None if none was.
    """
    net, classes = task.net, logits.shape[1]
    head = [name for name in last_layers(net, logits).weights if has_outputs(net.get_parameter(name), classes)]
    if not head or (drawn is not None and not set(head) <= set(drawn)):
        return None
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
    # In evaluation mode, an untrained network would normalise with statistics that it has not gathered yet.
    modes = (True,) if drawn is None else (True, False)
    before = _loss(task, images, noise, modes)
    if before <= (_ANY if drawn is None else _DRAWN) and not is_wide(net, head, classes):
        return None
    if drawn is None and _is_trained(net, head, again):
        return None
    draw_head(net, head, classes)
    weights = [net.get_parameter(name) for name in head]
    as_drawn = [weight.detach().clone() for weight in weights]
    after, halvings = _loss(task, images, noise, modes), 0
    while after > _DRAWN and halvings < _HALVINGS:
        halvings += 1
        _scale(weights, as_drawn, 0.5**halvings)
        after = _loss(task, images, noise, modes)
    if after > _DRAWN:  # a layer after the head undoes its scale
        _scale(weights, as_drawn, 1.0)
        log.warning(
            "model.net: the loss before training is %.1f times ln %d, at any scale of the head.", after, classes
        )
    line = (
        f"model.net: initialised the head {' and '.join(head)} again for {classes} classes: before training, the loss "
        f"was {before * math.log(classes):.2f} instead of about ln {classes} = {math.log(classes):.2f}."
    )
    log.info(line)
    return line


def _loss(task: BusTask, images: Tensor, noise: Tensor, modes: Collection[bool]) -> float:
    """Return the largest cross-entropy on images and noise in the given modes, divided by ln K."""
    losses = []
    for training in modes:
        for batch in (images, noise) if training else (images,):
            with undisturbed(task.net), torch.no_grad():
                task.net.train(training)
                output = task(batch)
            losses.append(loss_over_ln_k(output if isinstance(output, Tensor) else output[-1]))
    return max(losses)


def _scale(weights: list[nn.Parameter], as_drawn: list[Tensor], factor: float) -> None:
    with torch.no_grad():
        for weight, drawn in zip(weights, as_drawn, strict=True):
            weight.copy_(drawn * factor)


def _is_trained(net: nn.Module, head: Collection[str], again: Callable[[], nn.Module]) -> bool:
    """Return whether a library has loaded the head: then it is the same in a network built with another seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed() + 1)
        other = again()
    return all(torch.equal(net.get_parameter(name).cpu(), other.get_parameter(name)) for name in head)
