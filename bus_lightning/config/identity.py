"""What each key of a run's config means: whether it affects the results or the run's name, and its value in older runs.

A test fails if a key of the config is missing from the table.
"""

import re
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Key:
    """What a key means for a run.

    Attributes:
        decides: Whether it affects the results, so that another value is another experiment.
        names: Whether an override of it is part of the name of the run's folder.
        since: Value for the config of an older run that lacks the key; `...` leaves it out, which counts as null.
        kind: Type of its value in every run's config, whose absence means a damaged file; None if it may be missing.
    """

    decides: bool
    names: bool = True
    since: Any = ...
    kind: type | None = None


_DECIDES = Key(True)
_PLACE = Key(False)  # where data lie, how many processes read them, what is shown: not what comes out
_UNNAMED = Key(False, names=False)

# Key -> meaning. `group.*` stands for a group and for everything in it that has no row.
KEYS: dict[str, Key] = {
    "seed": _DECIDES, "debug_size": _DECIDES, "channels_last": _DECIDES,
    "runs_dir": _UNNAMED, "group": _UNNAMED, "name": _UNNAMED, "rerun": _UNNAMED, "keep_last": _UNNAMED,
    "debug_run": _UNNAMED, "fail_fast": _UNNAMED, "print_config": _UNNAMED, "logger.*": _UNNAMED,
    "protocol": _UNNAMED,
    "sweep": _UNNAMED, "hydra.*": _UNNAMED,  # on the command line only
    "model": Key(True, names=False),  # its name comes first in the run's
    "model.*": _DECIDES, "model.name": Key(True, kind=str), "model.net": Key(True, kind=dict),
    "task.*": _DECIDES, "task.name": Key(True, kind=str), "task.monitor": Key(True, kind=str),
    "task.mode": Key(True, kind=str), "task.loss": Key(True, kind=dict),
    "predict": Key(True, since={}), "predict.flips": Key(True, since=False),
    "predict.no_lesion": Key(True, since=False),
    "optimizer.*": _DECIDES, "scheduler.*": _DECIDES, "augment.*": _DECIDES,
    "preprocess.rules": Key(True, since=1), "preprocess.denoise": Key(True, kind=str),
    "preprocess.contrast": Key(True, kind=str), "preprocess.parts": Key(True, kind=list),
    "overlay.style": Key(True, kind=str), "overlay.source": Key(True, kind=str),
    "overlay.parts": Key(True, kind=list), "overlay.color": _DECIDES, "overlay.color_by_class": _DECIDES,
    "overlay.alpha": _DECIDES, "overlay.margin": _DECIDES, "overlay.tasks": _DECIDES, "overlay.segmenters": _PLACE,
    # The hash of the files and of what a table says about them decides.
    "data.sets.*": _PLACE, "data.test": Key(True, since=None),
    "data.table": Key(False, since=None), "data.sheet": Key(False, since=None),
    "data.columns.*": _PLACE, "data.map.*": _PLACE, "data.drop.*": _PLACE,
    "data.images": Key(False, since=None),
    "data.masks": Key(False, since=None), "data.annotations": Key(False, since=None),
    "data.root": _PLACE, "data.cache": _UNNAMED, "data.cache_gb": Key(False, since=20),
    "data.workers": _PLACE, "data.phantom.*": _PLACE,
    # The hash of the chosen images decides, however they were chosen.
    "data.exclude": _PLACE, "data.skip_unreadable": _PLACE, "data.drop_conflicts": _PLACE,
    "data.resize_masks": Key(False, since=False),
    "data.classes": Key(True, kind=list), "data.num_classes": _DECIDES, "data.mistake": Key(True, since=None),
    "data.size": Key(True, kind=int), "data.resize": _DECIDES, "data.channels": Key(True, kind=int),
    "data.mean": _DECIDES, "data.std": _DECIDES, "data.batch_size": _DECIDES, "data.balance": _DECIDES,
    "data.on_device": Key(True, since=None),
    "data.split.method": Key(True, kind=str), "data.split.seed": Key(True, kind=int),
    "data.split.ratio": Key(True, kind=list), "data.split.val_from_train": _DECIDES, "data.split.folds": _DECIDES,
    "data.split.fold": _DECIDES, "data.split.file": _PLACE, "data.split.cross_folds": Key(True, since=None),
    "data.split.cross_fold": Key(True, since=None),
    "callbacks.*": _DECIDES,  # but for those that only show or record, see `_SHOWS`
    "callbacks.progress": Key(True, names=False), "callbacks.checkpoint.*": Key(True, names=False),
    "callbacks.wandb_epoch.*": Key(True, names=False),
    "callbacks.step_seed": Key(True, since={"_target_": "bus_lightning.training.callbacks.seeding.StepSeed"}),
    "callbacks.step_seed.seed": _PLACE,  # the run's seed
    "trainer._target_": _PLACE, "trainer.max_epochs": Key(False, kind=int),
    "trainer.precision": _DECIDES, "trainer.accelerator": _PLACE, "trainer.devices": _PLACE,
    "trainer.strategy": _PLACE, "trainer.num_nodes": _PLACE, "trainer.deterministic": _DECIDES,
    "trainer.use_distributed_sampler": _PLACE, "trainer.sync_batchnorm": _PLACE,
    "trainer.gradient_clip_val": _DECIDES, "trainer.accumulate_grad_batches": _DECIDES,
    "trainer.log_every_n_steps": _PLACE, "trainer.limit_train_batches": _DECIDES,
    "trainer.limit_val_batches": _DECIDES, "trainer.limit_test_batches": _DECIDES,
    "trainer.overfit_batches": _DECIDES, "trainer.profiler": _PLACE, "trainer.num_sanity_val_steps": _DECIDES,
    "trainer.enable_model_summary": _PLACE, "trainer.enable_progress_bar": _PLACE,
    "trainer.enable_checkpointing": _PLACE,
}  # fmt: skip

# Callbacks that only show or record; the class decides, whatever the callback is called.
_SHOWS = re.compile(
    r"(lightning\.pytorch\.callbacks|bus_lightning)\.(\w+\.)*(ProgressBar|RichProgressBar|TQDMProgressBar|ModelSummary"
    r"|RichModelSummary|LearningRateMonitor|DeviceStatsMonitor|ThroughputMonitor|ModelCheckpoint|OnExceptionCheckpoint"
    r"|ResumePoint|WandbEpoch)"
)
# Module of an earlier version -> the module that holds its objects now. A row stays while old run folders are read.
MOVED = {
    "bus_lightning.losses": "bus_lightning.tasks.losses",
    "bus_lightning.callbacks": "bus_lightning.training.callbacks",
    "bus_lightning.dashboard": "bus_lightning.tracking",
}
_DECIDING_GROUPS = list(dict.fromkeys(key.partition(".")[0] for key, meaning in KEYS.items() if meaning.decides))


def find_meaning(key: str) -> Key | None:
    """Find the row of a key, else that of the nearest `group.*` that holds it; None without one."""
    if key in KEYS:
        return KEYS[key]
    parts = key.split(".")
    groups = (".".join(parts[:length]) + ".*" for length in range(len(parts), 0, -1))
    return next((KEYS[group] for group in groups if group in KEYS), None)


def is_named(key: str) -> bool:
    """Tell whether an override of a key, or of a group such as `hydra/launcher`, is part of a run's name."""
    meaning = find_meaning(key.replace("/", "."))
    return meaning is None or meaning.names


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Flatten the options that decide a run's results into dotted keys; a null counts as a missing key.

    An option that the user has added, such as `+trainer.x`, decides as well.
    """
    flat: dict[str, Any] = {}
    for group in _DECIDING_GROUPS:
        _flatten(group, OmegaConf.select(cfg, group), flat)
    shown = tuple(key.removesuffix("_target_") for key, value in flat.items() if _is_shown(key, value))
    return {
        key: value
        for key, value in flat.items()
        if value is not None and (find_meaning(key) or _DECIDES).decides and not key.startswith(shown)
    }


def _is_shown(key: str, value: Any) -> bool:
    return re.fullmatch(r"callbacks\.[^.]+\._target_", key) is not None and _SHOWS.fullmatch(str(value)) is not None


def _flatten(key: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, DictConfig):
        for name in value:
            _flatten(f"{key}.{name!s}", value[name], flat)
    else:
        flat[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
