"""Decide what a command builds from the config of a run, which others may have written: networks and losses.

A config names what it builds, so a config from elsewhere could name anything that Python can call. Commands that read
runs therefore build only networks and losses of known libraries, and what is in the packages that the user trusts on
the command line. Nothing else is imported, and nothing that is built downloads or opens a file.
"""

import inspect
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
# Modules that define networks, layers and losses, with the modules in them.
_HOMES = ("bus_lightning.models", "bus_lightning.tasks", "torch.nn.modules", "torchvision.models", "torchvision.ops",
          "timm.models", "timm.layers", "timm.loss", "segmentation_models_pytorch")  # fmt: skip
_SHORT = ("torch.nn", "timm")  # modules that offer them under a shorter name
TRAINER = "lightning.pytorch.Trainer"
_LOSS = re.compile(r"\w*_loss|\w*cross_entropy\w*|kl_div")  # functions of torch.nn.functional and torchvision.ops
# Options of a library's networks that load weights, and the value that does not. A checkpoint replaces the weights.
_LOADING: dict[str, dict[str, Any]] = {
    "timm": {"pretrained": False, "checkpoint_path": None},
    "segmentation_models_pytorch": {"encoder_weights": None, "pretrained": False, "checkpoint_path": None},
    "torchvision": {"weights": None, "weights_backbone": None, "pretrained": False, "pretrained_backbone": False},
}


@dataclass(frozen=True)
class Origin:
    """The origin of a config that this command has not composed.

    Attributes:
        file: The `config.yaml` of a run.
        trusted: Packages or modules that it may name besides the known libraries, from the command line.
    """

    file: Path
    trusted: tuple[str, ...] = ()

    def harmless(self, value: Any, at: str) -> Any:
        """Return a copy of a part of the config that can be built: its networks load no weights.

        Args:
            value: A node of the config, or a value that is passed to what it builds.
            at: Its key, for the errors.

        Raises:
            UserError: If it names something that is neither a network nor a loss of a known library nor in a trusted
                package, if a value would be resolved, or if it names a file or an address.
        """
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value)
        if isinstance(value, list | tuple):
            return [self.harmless(inner, f"{at}[{place}]") for place, inner in enumerate(value)]
        if isinstance(value, dict):
            inner = {key: self.harmless(inner, f"{at}.{key}") for key, inner in value.items()}
            return self._without_loading(inner, at) if "_target_" in inner else inner
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{self.file}: {at} is {value[:80]!r}, which is never resolved: write its value.")
        return value

    def _without_loading(self, node: dict[str, Any], at: str) -> dict[str, Any]:
        """Refuse a node that names something else than a network or loss, and turn off what loads weights."""
        target = node["_target_"]
        if isinstance(target, str) and _is_within(target, self.trusted):
            return node
        if not isinstance(target, str) or (builder := _find_builder(target)) is None:
            raise UserError(self._refusal(str(target), at))
        off = _LOADING.get(target.partition(".")[0])
        if off is None:
            return node
        if address := next((text for text in _texts(node) if ":" in text), None):
            raise UserError(f"{self.file}: {at} names {address[:80]!r}, but a run's network is only read from the run.")
        is_class = isinstance(builder, type)
        make = builder.__init__ if is_class else builder  # `__new__` may hide the options
        names = [name for name in inspect.signature(make).parameters if name != "self"]
        positions = node.get("_args_") or []
        if not isinstance(positions, list) or off.keys() & set(names[: len(positions)]):
            raise UserError(f"{self.file}: {at}._args_ sets an option that loads weights: name the options.")
        kept = {key: value for key, value in node.items() if key not in off}
        return kept | {name: off[name] for name in names if name in off}

    def _refusal(self, target: str, at: str) -> str:
        package, _, below = target.partition(".")
        is_known = any(home.startswith(f"{package}.") or home == package for home in _HOMES)
        module = target.rpartition(".")[0] if is_known else package if below else "PACKAGE"
        return (
            f"{self.file}: {at} names {target[:120]}, which is not a network or a loss of a known library, so it is "
            f"not run. If you know this code and trust it, add 'trusted_packages=[{module[:120]}]' to evaluate.py, "
            f"or --trust {module[:120]} for a report or a bundle."
        )


def _find_builder(target: str) -> Any:
    """Import a network, a loss, a task or the Trainer by its name; None for anything else."""
    module, _, name = target.rpartition(".")
    if not _NAME.fullmatch(target) or not (module in _SHORT or _is_within(module, (*_HOMES, "torch.nn.functional"))):
        return _trainer() if target == TRAINER else None
    from torch import nn

    try:  # a module of an installed library: its own parts, never what it has imported from others
        builder = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return None
    home = str(getattr(builder, "__module__", ""))
    if isinstance(builder, type):
        return builder if issubclass(builder, nn.Module) and _is_within(home, _HOMES) else None
    return builder if inspect.isfunction(builder) and _is_factory(builder, home) else None


def _is_factory(function: Any, home: str) -> bool:
    """Say whether a function makes a network or computes a loss."""
    name, library = function.__name__, home.partition(".")[0]
    if home == "torch.nn.functional" or _is_within(home, ("torchvision.ops",)):
        return _LOSS.fullmatch(name) is not None
    if not _is_within(home, _HOMES):
        return False
    if library == "timm":
        from timm import create_model
        from timm.models import is_model, model_entrypoint

        return function is create_model or (is_model(name) and model_entrypoint(name) is function)
    if library == "torchvision":
        from torchvision.models import get_model_builder, list_models

        return any(get_model_builder(model) is function for model in list_models())
    if library == "segmentation_models_pytorch":
        from segmentation_models_pytorch import create_model as create_segmenter

        return function is create_segmenter
    from torch import nn

    try:
        made = typing.get_type_hints(function).get("return")  # ours say what they return
    except NameError:  # a type that is only imported for a type checker
        return False
    return isinstance(made, type) and issubclass(made, nn.Module)


def _trainer() -> Any:
    from lightning.pytorch import Trainer

    return Trainer


def _is_within(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _texts(value: Any) -> Iterable[str]:
    """Yield the texts in a node, without the names that it builds."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from () if key == "_target_" else _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
