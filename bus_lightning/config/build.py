"""The config: the only `instantiate`, checks across groups, a run's name and identity, saving and loading."""

import re
import shlex
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bus_lightning.config.moved import use_current_targets
from bus_lightning.config.schema import TRAIN, check_kinds, shown
from bus_lightning.config.targets import explained, target_error
from bus_lightning.config.trainer_options import check_trainer
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import write_aside

# What decides a run's numbers. Where the data lie, how many workers read them and who logs does not.
IDENTITY = ("model", "task", "optimizer", "scheduler", "augment", "preprocess", "overlay", "data", "seed", "debug_size",
            "channels_last", "trainer", "callbacks")  # fmt: skip
# Callbacks that only display or record, without changing the weights; any other callback is part of the experiment.
_SHOWS = re.compile(
    r"(lightning\.pytorch\.callbacks|bus_lightning)\.(\w+\.)*(ProgressBar|RichProgressBar|TQDMProgressBar|ModelSummary"
    r"|RichModelSummary|LearningRateMonitor|DeviceStatsMonitor|ThroughputMonitor|ModelCheckpoint|OnExceptionCheckpoint"
    r"|ResumePoint|WandbEpoch)"
)
_NOT_IDENTITY = re.compile(
    r"callbacks\.step_seed\.seed|data\.(root|cache|cache_gb|workers|phantom|exclude|skip_unreadable|resize_masks|drop_conflicts|split\.file)(\..*)?|overlay\.segmenters"
    r"|trainer\.(max_epochs|accelerator|devices|strategy|num_nodes|log_every_n_steps|profiler|enable_.*|_target_"
    r"|use_distributed_sampler|sync_batchnorm)"
)
BALANCES = ("none", "oversample", "class_weights")
# Values for keys that an older run's config lacks. A new key needs no entry if null keeps the old behaviour.
_SINCE = {"data.cache_gb": 20, "data.on_device": None, "data.mistake": None, "data.resize_masks": False,
          "data.split.cross_folds": None, "data.split.cross_fold": None,
          "callbacks.step_seed": {"_target_": "bus_lightning.training.callbacks.seeding.StepSeed"},
          "preprocess.rules": 1}  # fmt: skip
# Keys that every run's config has, with their types; if one is missing, the file was cut off or edited.
_ALWAYS: dict[str, type] = {
    "model.name": str, "task.name": str, "task.monitor": str, "task.mode": str, "data.size": int,
    "data.channels": int, "data.classes": ListConfig, "data.split.method": str, "data.split.ratio": ListConfig,
    "overlay.style": str, "overlay.source": str, "overlay.parts": ListConfig, "preprocess.denoise": str,
    "preprocess.contrast": str, "preprocess.parts": ListConfig, "trainer.max_epochs": int,
}  # fmt: skip


def build(node: Any, at: str | None = None, /, **runtime: Any) -> Any:
    """Build the object that a config node names. The package's only call of instantiate.

    Args:
        node: Config with a `_target_`; empty or None gives None.
        at: Key of the node in the config, if the node was taken out of it; None if the node knows its key.
        runtime: Arguments that are known only now.

    Returns:
        The object; for a `_partial_` node, a function that makes it.

    Raises:
        UserError: When it cannot be built, in one line: the node, its target, and the innermost cause.
    """
    if not node:
        return None
    key = node._get_full_key(None) if at is None and OmegaConf.is_config(node) else at or ""
    target = str(node.get("_target_")) if hasattr(node, "get") else ""
    try:
        built = instantiate(node, _convert_="all", **runtime)
    except Exception as error:
        explanation = target_error(error, at or "", target)
        raise explanation from (None if explanation.__traceback__ else error)  # a UserError from below keeps its cause
    return explained(built, key, target) if isinstance(built, partial) else built


def build_net(model: DictConfig, debug_size: bool) -> Any:
    """Build the network of a model config, small when `debug_size` is set."""
    options: dict[str, Any] = OmegaConf.to_container(model.net, resolve=True)  # type: ignore[assignment]
    return build(options | dict(model.debug_size or {}) if debug_size else options, "model.net")


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

    check_kinds(cfg, TRAIN)
    split = cfg.data.split
    if split.method != "file":
        check_validation(cfg, shares(split.ratio, split.val_from_train)[1] > 0, sweeps_score)
    if split.method not in METHODS:
        raise UserError(f"data.split.method={split.method} is unknown: choose one of {', '.join(METHODS)}.")
    if split.file is not None and split.method != "file":
        raise UserError(f"data.split.file={split.file} is read with data.split.method=file alone: add it.")
    if cfg.data.balance not in BALANCES:
        raise UserError(f"data.balance={cfg.data.balance} is unknown: choose one of {', '.join(BALANCES)}.")
    if OmegaConf.is_missing(cfg.data, "root"):
        raise UserError("data=folder needs data.root=FOLDER, with a folder per class.")
    _check_weights(cfg.model.weights)
    _check_devices(cfg.trainer, cfg.seed, in_grid)
    check_trainer(cfg.trainer, cfg.optimizer)
    exact = str(cfg.trainer.precision).endswith("-true") or str(cfg.trainer.precision) in ("32", "64")
    if cfg.trainer.gradient_clip_val and cfg.optimizer.get("fused") and not exact:
        raise UserError("trainer.gradient_clip_val needs a plain optimizer in 16 bits: add optimizer.fused=false.")
    if cfg.data.balance == "class_weights" and cfg.task.name == "segmentation":
        raise UserError("data.balance=class_weights weighs classes, and segmentation has none: use oversample or none.")
    _check_overlay(cfg)


def _check_weights(weights: str | None) -> None:
    """Refuse a word that is neither `imagenet` nor a file."""
    if weights and weights != "imagenet" and re.fullmatch(r"\w+", weights) and not Path(weights).is_file():
        hint = " Did you mean imagenet?" if get_close_matches(weights.lower(), ["imagenet"]) else ""
        raise UserError(f"model.weights={weights}: there is no such file.{hint} Give imagenet, a file, or null.")


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
    """Remove an overlay that is meant for other tasks, and count the input channel that a mask adds.

    A segmenter that is trained for classifiers, for example by `sweep=two_stage`, evaluates all of its images.
    """
    if not _is_for_task(cfg):
        plain = {"style": "none", "source": "ground_truth"}
        kept = ("style", "source", "parts", "color", "color_by_class", "alpha")
        cfg.overlay = {key: value for key, value in (dict(cfg.overlay) | plain).items() if key in kept}
        # This is a segmenter: the classifiers need its mask of every image.
        cfg.trainer.limit_val_batches = cfg.trainer.limit_test_batches = None
    elif cfg.overlay.style == "channel":
        cfg.data.channels = 4


def uses_masks(cfg: DictConfig) -> bool:
    """Tell whether a settled overlay puts ground-truth masks into the input."""
    return cfg.overlay.style != "none" and cfg.overlay.source != "predicted"


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
        given = f"trainer.devices={shown(OmegaConf.to_container(devices) if OmegaConf.is_list(devices) else devices)}"
        raise UserError(f"{given}: several devices need trainer=ddp {shlex.quote(given)}.")
    if several and seed is None:
        raise UserError("seed=null: several devices share out one order of the images, which needs a seed: give one.")
    if several and trainer.get("num_nodes", 1) != 1:
        raise UserError(f"trainer.num_nodes={trainer.num_nodes}: a run stays on one machine; use trainer.num_nodes=1.")


def check_validation(cfg: DictConfig, has_validation: bool, sweeps_score: bool) -> None:
    """Refuse what needs a validation set where there is none.

    Raises:
        UserError: One line that names the option and the cure.
    """
    if has_validation and cfg.trainer.limit_val_batches != 0:
        return
    if "ReduceLROnPlateau" in str(cfg.scheduler.get("_target_")):
        needs = "scheduler=plateau needs a validation set"
    elif cfg.callbacks.get("early_stopping"):
        needs = "Early stopping needs a validation set"
    elif sweeps_score:
        needs = "A sweeper has no score to optimise without a validation set"
    else:
        return
    if has_validation:
        raise UserError(f"{needs}, but trainer.limit_val_batches=0 turns it off: set another limit, or null.")
    raise UserError(
        f"{needs}, and this split has none: data.split.val_from_train=1 takes a part of the training images for it."
    )


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Flatten the options that decide a run's results into dotted keys; a null counts as a missing key."""
    flat: dict[str, Any] = {}
    for key in IDENTITY:
        _flatten(key, OmegaConf.select(cfg, key), flat)
    shown = tuple(key.removesuffix("_target_") for key, value in flat.items() if _is_shown(key, value))
    decides = (key for key in flat if not _NOT_IDENTITY.fullmatch(key) and not key.startswith(shown))
    return {key: flat[key] for key in decides if flat[key] is not None}


def _is_shown(key: str, value: Any) -> bool:
    return re.fullmatch(r"callbacks\.[^.]+\._target_", key) is not None and _SHOWS.fullmatch(str(value)) is not None


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
        DamagedError: When the file is missing, cut off, or not the config of a run.
    """
    try:
        cfg = OmegaConf.load(path)
        assert isinstance(cfg, DictConfig)
        use_current_targets(cfg)
        for key, value in _SINCE.items():
            group, _, name = key.rpartition(".")
            node = OmegaConf.select(cfg, group)
            if isinstance(node, DictConfig) and name not in node:
                node[name] = value
        found = {key: OmegaConf.select(cfg, key) for key in _ALWAYS}
    except OSError as error:
        raise DamagedError(path, f"it is not the config of a run ({error.strerror or error})") from error
    except (AssertionError, OmegaConfBaseException, ValueError, YAMLError) as error:
        raise DamagedError(path, f"it is not the config of a run ({error or 'not a mapping'})") from error
    for key, wanted in _ALWAYS.items():
        if not isinstance(found[key], wanted):
            raise DamagedError(path, f"it is not the config of a run: {key} is {found[key]!r}")
    return cfg
