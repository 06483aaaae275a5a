"""The config: the only `instantiate`, checks across groups, a run's name and identity, saving and loading."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bus_lightning.errors import UserError
from bus_lightning.files import write_aside
from bus_lightning.randomness import stable_hash

# What decides a run's numbers. Where the data lie, how many workers read them and who logs does not.
IDENTITY = ("model", "task", "optimizer", "scheduler", "augment", "preprocess", "overlay", "data", "seed", "debug_size",
            "channels_last", "trainer", "callbacks.early_stopping")  # fmt: skip
_NOT_IDENTITY = re.compile(
    r"data\.(root|cache|cache_gb|workers|phantom|exclude|skip_unreadable|drop_conflicts|split\.file)(\..*)?|overlay\.segmenters"
    r"|trainer\.(max_epochs|accelerator|devices|strategy|num_nodes|log_every_n_steps|profiler|enable_.*|_target_"
    r"|use_distributed_sampler|sync_batchnorm)"
)
_NOT_IN_NAME = (
    "model",
    "name",
    "group",
    "runs_dir",
    "logger",
    "sweep",
    "rerun",
    "keep_last",
    "fail_fast",
    "print_config",
    "data.cache",
    "callbacks.progress",
)
_NAME_LIMIT = 120
BALANCES = ("none", "oversample", "class_weights")
# What the config of an older run lacks.
_SINCE = {"data.cache_gb": 20, "data.on_device": None, "data.mistake": None,
          "data.split.cross_folds": None, "data.split.cross_fold": None}  # fmt: skip


def build(node: Any, **runtime: Any) -> Any:
    """Build the object that a config node names. The package's only call of instantiate.

    Args:
        node: Config with a `_target_`; empty or None gives None.
        runtime: Arguments that are known only now.

    Raises:
        UserError: When an option of the node is not one that its target takes.
    """
    if not node:
        return None
    try:
        return instantiate(node, _convert_="all", **runtime)
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None  # Hydra wraps what a target raises
        if isinstance(cause, TypeError | ImportError):
            raise UserError(f"{node.get('_target_')}: {' '.join(str(cause).split())}") from error
        raise


def build_net(model: DictConfig, debug_size: bool) -> Any:
    """Build the network of a model config, small when `debug_size` is set."""
    options: dict[str, Any] = OmegaConf.to_container(model.net, resolve=True)  # type: ignore[assignment]
    return build(options | dict(model.debug_size or {}) if debug_size else options)


def check(cfg: DictConfig, sweeps_score: bool = False, in_grid: bool = False) -> None:
    """Refuse what cannot work together, before any compute.

    Args:
        cfg: The composed config.
        sweeps_score: Whether a sweeper optimises the score that training returns.
        in_grid: Whether the run is a job of a grid.

    Raises:
        UserError: One line that names the options and the cure.
    """
    from bus_lightning.data.splits import METHODS, shares

    split = cfg.data.split
    if split.method != "file":
        check_validation(cfg, shares(split.ratio, split.val_from_train)[1] > 0, sweeps_score)
    if split.method not in METHODS:
        raise UserError(f"data.split.method={split.method} is unknown: choose one of {', '.join(METHODS)}.")
    if cfg.data.balance not in BALANCES:
        raise UserError(f"data.balance={cfg.data.balance} is unknown: choose one of {', '.join(BALANCES)}.")
    if OmegaConf.is_missing(cfg.data, "root"):
        raise UserError("data=folder needs data.root=FOLDER, with a folder per class.")
    if cfg.channels_last not in (True, False, "auto"):
        raise UserError(f"channels_last={cfg.channels_last} is unknown: choose one of auto, true, false.")
    _check_devices(cfg.trainer, cfg.seed, in_grid)
    if cfg.trainer.gradient_clip_val and cfg.optimizer.get("fused") and cfg.trainer.precision != "32-true":
        raise UserError("trainer.gradient_clip_val needs a plain optimizer in 16 bits: add optimizer.fused=false.")
    if cfg.data.channels not in (1, 3):
        raise UserError(f"data.channels={cfg.data.channels}: images have 3 channels, or 1 for grey.")
    if cfg.data.balance == "class_weights" and cfg.task.name == "segmentation":
        raise UserError("data.balance=class_weights weighs classes, and segmentation has none: use oversample or none.")
    _check_overlay(cfg)


def _check_overlay(cfg: DictConfig) -> None:
    """Refuse an overlay that tells what is asked, or that cannot be drawn."""
    overlay = cfg.overlay
    # The segmenters of a sweep, whom the overlay is not for, are told as well: their classifiers would come to nothing.
    if overlay.source == "predicted" and cfg.data.split.method in ("random", "stratified"):
        raise UserError(
            f"overlay=predicted with data.split.method={cfg.data.split.method}: twins of test images would be in the "
            "segmenter's training. Use data.split.method=grouped."
        )
    if overlay.style == "none" or not _is_for_task(cfg):
        return
    if cfg.task.name != "classification":
        raise UserError(
            f"overlay={overlay.style} brings the mask into the input, and {cfg.task.name} has to find it: "
            "use overlay=none."
        )
    if overlay.source == "predicted" and (overlay.style == "class_mark" or overlay.color_by_class):
        told = "overlay.style=class_mark" if overlay.style == "class_mark" else "overlay.color_by_class"
        raise UserError(f"{told} tells the true class, which no segmenter predicts: leave it out of overlay=predicted.")
    if overlay.style == "channel" and cfg.data.channels != 3:
        raise UserError("overlay.style=channel is a fourth channel beside three: use data.channels=3.")


def _is_for_task(cfg: DictConfig) -> bool:
    return cfg.task.name in (cfg.overlay.get("tasks") or [cfg.task.name])


def settle_overlay(cfg: DictConfig) -> None:
    """Take back an overlay that is meant for other tasks, and count the channel that a mask brings."""
    if not _is_for_task(cfg):
        plain = {"style": "none", "source": "ground_truth"}
        kept = ("style", "source", "parts", "color", "color_by_class", "alpha")
        cfg.overlay = {key: value for key, value in (dict(cfg.overlay) | plain).items() if key in kept}
    elif cfg.overlay.style == "channel":
        cfg.data.channels = 4


def _check_devices(trainer: DictConfig, seed: int | None, in_grid: bool) -> None:
    """Refuse several devices where one is meant: in a grid, and without a strategy."""
    devices = trainer.devices
    several = len(devices) > 1 if OmegaConf.is_list(devices) else str(devices) != "1"
    if several and in_grid:
        raise UserError(
            f"trainer.devices={devices}: in a grid each further process would start the whole grid again. Use "
            "trainer.devices=1 there, and trainer=ddp for a single run."
        )
    if several and "ddp" not in str(trainer.get("strategy")):
        raise UserError(f"trainer.devices={devices}: several devices need trainer=ddp trainer.devices={devices}.")
    if several and seed is None:
        raise UserError("seed=null: several devices share out one order of the images, which needs a seed: give one.")
    if several and trainer.get("num_nodes", 1) != 1:
        raise UserError(f"trainer.num_nodes={trainer.num_nodes}: a run stays on one machine; use trainer.num_nodes=1.")


def check_validation(cfg: DictConfig, has_validation: bool, sweeps_score: bool) -> None:
    """Refuse what needs a validation set where there is none.

    Raises:
        UserError: One line that names the option and the cure.
    """
    if has_validation:
        return
    if "ReduceLROnPlateau" in str(cfg.scheduler.get("_target_")):
        needs = "scheduler=plateau needs a validation set"
    elif cfg.callbacks.get("early_stopping"):
        needs = "Early stopping needs a validation set"
    elif sweeps_score:
        needs = "A sweeper has no score to optimise without a validation set"
    else:
        return
    raise UserError(
        f"{needs}, and this split has none: data.split.val_from_train=1 takes a part of the training images for it."
    )


def run_name(model: str, overrides: Iterable[str]) -> str:
    """Name a run after its model and every other override, sorted by key: `resnet50__seed-1`.

    Args:
        model: The model's name.
        overrides: `key=value` as on the command line.

    Returns:
        A folder name in `[A-Za-z0-9._-]`; above 120 characters its end becomes a hash.
    """
    said = dict(override.lstrip("+~").partition("=")[::2] for override in overrides)
    # Hydra hands a grid's booleans over as Python writes them.
    values = {"True": "true", "False": "false", "None": "null"}
    others = sorted(f"{key}-{values.get(value, value)}" for key, value in said.items() if _shapes_name(key))
    name = "__".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in [model, *others])
    return name if len(name) <= _NAME_LIMIT else f"{name[: _NAME_LIMIT - 17]}-{stable_hash(name):016x}"


def _shapes_name(key: str) -> bool:
    beside = ("hydra.", "hydra/", "logger.", "callbacks.wandb_epoch", "callbacks.checkpoint")
    return key not in _NOT_IN_NAME and not key.startswith(beside)


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Flatten what decides a run's numbers into dotted keys."""
    flat: dict[str, Any] = {}
    for key in IDENTITY:
        _flatten(key, OmegaConf.select(cfg, key), flat)
    return {key: value for key, value in flat.items() if not _NOT_IDENTITY.fullmatch(key)}


def _flatten(key: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, DictConfig):
        for name in value:
            _flatten(f"{key}.{name!s}", value[name], flat)
    else:
        flat[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def save_config(cfg: DictConfig, path: Path) -> None:
    """Write the resolved config as YAML."""
    write_aside(path, OmegaConf.to_yaml(cfg, resolve=True))


def load_config(path: Path) -> DictConfig:
    """Read a run's resolved config; what an older run lacks is as it was then.

    Raises:
        UserError: When it is missing or no config.
    """
    try:
        cfg = OmegaConf.load(path)
        assert isinstance(cfg, DictConfig)
        for key, value in _SINCE.items():
            group, _, name = key.rpartition(".")
            node = OmegaConf.select(cfg, group)
            if isinstance(node, DictConfig) and name not in node:
                node[name] = value
    except (OSError, AssertionError, OmegaConfBaseException, ValueError, YAMLError) as error:
        raise UserError(f"{path} is no run's config: {error}") from error
    return cfg
