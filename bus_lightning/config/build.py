"""Build the objects that the config names: the package's only call of Hydra's `instantiate`."""

from functools import partial
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.targets import explained, target_error


def build(node: Any, at: str | None = None, /, **runtime: Any) -> Any:
    """Build the object that a config node names. The package's only call of instantiate.

    Args:
        node: Config with a `_target_`; empty or None gives None.
        at: Key of the node, for errors; None if the node is still in its config, which knows the key.
        runtime: Further arguments.

    Returns:
        The object; for a `_partial_` node, a function that makes it.

    Raises:
        UserError: If it cannot be built; names the node, its target and the innermost cause.
    """
    if not node:
        return None
    key = node._get_full_key(None) if at is None and OmegaConf.is_config(node) else at or ""
    target = str(node.get("_target_")) if hasattr(node, "get") else ""
    try:
        built = instantiate(node, _convert_="all", **runtime)
    except Exception as error:
        explanation = target_error(error, at or "", target)
        raise explanation from (None if explanation.__traceback__ else error)  # a UserError keeps its cause
    return explained(built, key, target) if isinstance(built, partial) else built


def build_net(model: DictConfig, debug_size: bool) -> Any:
    """Build the network of a model config, small when `debug_size` is set."""
    options: dict[str, Any] = OmegaConf.to_container(model.net, resolve=True)  # type: ignore[assignment]
    return build(options | dict(model.debug_size or {}) if debug_size else options, "model.net")
