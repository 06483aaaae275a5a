"""Build the objects that the config names: the package's only call of Hydra's `instantiate`."""

from functools import partial
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.targets import explained, target_error
from bus_lightning.config.trusted import Origin
from bus_lightning.core.errors import UserError


def build(node: Any, origin: Origin | None = None, at: str | None = None, /, **runtime: Any) -> Any:
    """Build the object that a config node names. The package's only call of instantiate.

    Args:
        node: Config with a `_target_`; empty or None gives None.
        origin: The run that the config was read from, which builds networks and losses only; None if this command has
            composed the config.
        at: Key of the node, for errors; None if the node is still in its config, which knows the key.
        runtime: Further arguments.

    Returns:
        The object; for a `_partial_` node, a function that makes it.

    Raises:
        UserError: If it cannot be built, or must not be; names the node, its target and the innermost cause.
    """
    if not node:
        return None
    key = node._get_full_key(None) if at is None and OmegaConf.is_config(node) else at or ""
    target = str(node.get("_target_")) if hasattr(node, "get") else ""
    if origin:
        node, at = origin.harmless(node, key), key
        runtime = {name: origin.harmless(value, f"{key}.{name}") for name, value in runtime.items()}
    try:
        built = instantiate(node, _convert_="all", **runtime)
    except Exception as error:
        explanation = target_error(error, at or "", target)
        raise explanation from (None if explanation.__traceback__ else error)  # a UserError keeps its cause
    return explained(built, key, target) if isinstance(built, partial) else built


def build_net(model: DictConfig, debug_size: bool, origin: Origin | None = None) -> Any:
    """Build the network of a model config, small when `debug_size` is set.

    Args:
        model: The config group.
        debug_size: Whether its `debug_size` is merged into the network's options.
        origin: The run that the config was read from; None if this command has composed it.

    Raises:
        UserError: If it cannot be built, or must not be, or is not a network.
    """
    groups = [model.net, model.debug_size] if debug_size and model.debug_size else [model.net]
    options: dict[str, Any] = {}
    for group in groups:
        options |= OmegaConf.to_container(group, resolve=origin is None)  # type: ignore[arg-type]
    net = build(options, origin, "model.net")
    if not hasattr(net, "state_dict"):
        raise UserError(f"model.net ({options.get('_target_')}) makes a {type(net).__name__}, which is not a network.")
    return net
