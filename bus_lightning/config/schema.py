"""The values that each key of a config may have: one table, checked before any compute."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from bus_lightning.config.image_options import CONTRASTS, DENOISERS, SOURCES, STYLES
from bus_lightning.config.kinds import (
    COLOR,
    FLAG,
    GROUP,
    IN_PARTS,
    LABEL,
    LIMIT,
    LIMIT_OR_NONE,
    MISSING,
    NAME,
    NAMES,
    NODE,
    NODE_OR_NULL,
    NODES,
    PACKAGES,
    PLACE,
    PLACE_OR_NULL,
    SEED,
    TAGS,
    TEXT,
    TEXT_NAME,
    Kind,
    either,
    list_of,
    nullable,
    number,
    one_of,
    optional,
    shown,
    whole,
)
from bus_lightning.core.arguments import in_home
from bus_lightning.core.errors import UserError

_WORD = Kind("a word", lambda value: type(value) in (str, int, float, bool))
_WORDS = either(_WORD, list_of(_WORD, "a list of words, such as '[Unknown,3]'"))
_TASK = one_of("classification", "segmentation", "joint")
COLUMN_ROLES = ("image", "mask", "mask_counts", "class", "patient", "group", "split", "fold", "mm_per_pixel")

TRAIN = {
    # Groups first, because other keys lie in them.
    "data": GROUP, "preprocess": GROUP, "overlay": GROUP, "model": GROUP,
    "augment": replace(GROUP, absent={}), "scheduler": replace(GROUP, absent={}), "predict": replace(GROUP, absent={}),
    "callbacks": NODES, "logger": NODES, "optimizer": NODE, "trainer": NODE, "task": NODE,
    "seed": SEED,
    "runs_dir": PLACE, "group": NAME, "name": nullable(NAME), "protocol": PLACE_OR_NULL,
    "channels_last": one_of(True, False, "auto"),
    "rerun": FLAG, "keep_last": FLAG, "fail_fast": FLAG, "debug_run": FLAG, "debug_size": FLAG, "print_config": FLAG,
    "data.sets": replace(GROUP, absent={}), "data.test": nullable(either(NAME, NAMES)),
    "data.root": PLACE_OR_NULL, "data.cache": PLACE, "data.cache_gb": number(0),
    "data.table": PLACE_OR_NULL, "data.sheet": nullable(either(TEXT, whole(0))),
    "data.columns": replace(nullable(GROUP), absent={}), "data.map": replace(nullable(GROUP), absent={}),
    "data.drop": replace(nullable(GROUP), absent={}),
    **{f"data.columns.{role}": optional(nullable(either(TEXT, whole(0)))) for role in COLUMN_ROLES},
    "data.map.class": optional(nullable(GROUP)), "data.map.mask_counts": optional(nullable(_WORDS)),
    "data.drop.class": optional(nullable(_WORDS)),
    "data.images": nullable(TEXT), "data.masks": nullable(TEXT), "data.annotations": nullable(TEXT),
    "data.phantom": nullable(GROUP),
    "data.phantom.images": whole(3), "data.phantom.seed": whole(0),  # where a phantom is drawn at all
    "data.classes": nullable(NAMES), "data.num_classes": nullable(whole(1)),
    "data.exclude": PLACE_OR_NULL, "data.drop_conflicts": FLAG, "data.skip_unreadable": FLAG,
    "data.resize_masks": FLAG,
    "data.mistake": nullable(one_of("flipped_copies", "mask_files")),
    "data.size": whole(1), "data.resize": one_of("stretch", "pad"), "data.channels": one_of(1, 3),
    "data.mean": list_of(number(), "a list of three numbers", [3]),
    "data.std": list_of(Kind("", lambda value: number(0).fits(value) and value > 0),
                        "a list of three numbers above 0", [3]),
    "data.batch_size": whole(1), "data.balance": TEXT, "data.workers": whole(0), "data.on_device": nullable(FLAG),
    "data.split": GROUP, "data.split.method": TEXT, "data.split.seed": whole(),
    "data.split.ratio": list_of(number(0), "[train,test] or [train,val,test] in parts, such as '[11,1,3]'", [2, 3]),
    "data.split.val_from_train": number(0), "data.split.folds": nullable(whole(2)),
    "data.split.fold": nullable(whole(0)), "data.split.file": PLACE_OR_NULL,
    "data.split.cross_folds": nullable(whole(2)), "data.split.cross_fold": nullable(whole(0)),
    "preprocess.rules": nullable(one_of(1, 2)),
    "preprocess.denoise": one_of(*DENOISERS), "preprocess.contrast": one_of(*CONTRASTS), "preprocess.parts": IN_PARTS,
    "overlay.style": one_of(*STYLES), "overlay.source": one_of(*SOURCES), "overlay.parts": IN_PARTS,
    "overlay.color": COLOR,
    "overlay.color_by_class": nullable(list_of(COLOR, "a list of colours, [[0,255,0],[255,0,0],...]")),
    "overlay.alpha": number(0, 1), "overlay.margin": optional(number(0)),
    "overlay.segmenters": optional(either(TEXT, list_of(TEXT, "a list of run folders"))),
    "overlay.tasks": optional(nullable(list_of(_TASK, "a list of tasks: classification, segmentation, joint"))),
    "model.name": TEXT_NAME, "model.net": NODE, "model.debug_size": replace(nullable(GROUP), absent={}),
    "model.weights": PLACE_OR_NULL, "model.imagenet": nullable(NODE),
    "task.name": _TASK, "task.monitor": TEXT,
    "task.mode": one_of("max", "min"), "task.loss": NODE,
    "task.loss.label_smoothing": optional(number(0, 1)), "task.deep_supervision": optional(FLAG),
    "optimizer.lr": optional(number(0)), "optimizer.weight_decay": optional(number(0)),
    "optimizer.momentum": optional(number(0, 1)), "optimizer.fused": optional(nullable(FLAG)),
    "scheduler.patience": optional(whole(0)), "scheduler.factor": optional(number(0, 1)),
    "scheduler.T_max": optional(whole(1)), "scheduler.epochs": optional(whole(1)),
    "scheduler.warmup_epochs": optional(whole(0)), "scheduler.floor": optional(number(0, 1)),
    "augment.strength": optional(number(0)),
    "predict.flips": replace(FLAG, absent=False),
    "predict.no_lesion": replace(either(one_of(False), number(0, 1)), absent=False),
    "callbacks.early_stopping.patience": optional(whole(0)),
    "callbacks.early_stopping.min_delta": optional(number()),
    "callbacks.checkpoint.every_n_train_steps": optional(nullable(whole(1))),
    "callbacks.wandb_epoch.images": optional(whole(0)), "callbacks.wandb_epoch.every_n_epochs": optional(whole(1)),
    "logger.wandb.project": optional(LABEL), "logger.wandb.entity": optional(nullable(LABEL)),
    "logger.wandb.tags": optional(nullable(TAGS)), "logger.wandb.notes": optional(nullable(
        Kind("text", lambda value: type(value) in (str, int, float)))),
    "logger.wandb.watch": optional(nullable(one_of("gradients", "parameters", "all"))),
    "logger.wandb.image_names": optional(FLAG),
    "trainer.max_epochs": whole(1),
    "trainer.precision": Kind("a precision, such as 32-true or bf16-mixed", lambda value: type(value) in (str, int)),
    "trainer.accelerator": TEXT,
    "trainer.num_nodes": whole(1),
    "trainer.devices": either(one_of(-1), whole(1), TEXT, list_of(whole(0), "a list of devices")),
    "trainer.deterministic": nullable(one_of(True, False, "warn")),
    "trainer.use_distributed_sampler": FLAG, "trainer.sync_batchnorm": nullable(FLAG),
    "trainer.gradient_clip_val": nullable(number(0)), "trainer.accumulate_grad_batches": whole(1),
    "trainer.log_every_n_steps": whole(0), "trainer.limit_train_batches": LIMIT,
    "trainer.limit_val_batches": LIMIT_OR_NONE, "trainer.limit_test_batches": LIMIT,
    "trainer.overfit_batches": number(0), "trainer.profiler": nullable(TEXT),
    "trainer.num_sanity_val_steps": whole(-1), "trainer.enable_model_summary": FLAG,
    "trainer.enable_progress_bar": FLAG,
}  # fmt: skip

# Options of `data` that say which images an evaluation tests; it takes all others from the run.
TESTED_DATA = (
    "sets", "root", "table", "sheet", "columns", "map", "drop", "images", "masks", "annotations", "phantom", "classes",
    "exclude", "resize_masks", "skip_unreadable",
)  # fmt: skip
EVALUATE = {
    "runs": either(TEXT, list_of(TEXT, "a list of patterns")), "part": TEXT, "data": GROUP, "ensemble": nullable(NAME),
    **{key: kind for key, kind in TRAIN.items() if key.startswith("data.") and key.split(".")[1] in TESTED_DATA},
    "split": PLACE_OR_NULL, "progress": FLAG, "explain": FLAG, "predict": GROUP, "predict.flips": nullable(FLAG),
    "predict.no_lesion": nullable(one_of(False)),
    "trusted_packages": PACKAGES, "explain_options": GROUP,
    "explain_options.methods": NAMES, "explain_options.images": nullable(whole(1)),
    "explain_options.integration_steps": whole(1), "explain_options.occlusion_positions": whole(4),
    "explain_options.random_seed": whole(0, 2**32 - 1),
    "baselines": FLAG, "robustness": FLAG, "robustness_options": GROUP, "robustness_options.corruptions": NAMES,
    "robustness_options.strengths": list_of(whole(1, 5), "a list of strengths from 1 to 5, such as '[1,3,5]'"),
    "robustness_options.images": nullable(whole(1)),
}  # fmt: skip


def check_kinds(
    cfg: DictConfig, table: dict[str, Kind], left_out: Sequence[str] = (), may_lack: bool = False
) -> DictConfig:
    """Refuse a value of the wrong kind, and the removal of a key that is needed.

    Args:
        cfg: The composed config.
        table: Key -> kind of its value.
        left_out: Keys that are not checked, because a grid sets their values.
        may_lack: Whether any key may be missing, as in the config of an older run.

    Returns:
        A copy of the config, in which a removed key that may be null or empty is null or empty, and a path begins with
        the user's home where it began with `~`.

    Raises:
        UserError: One line that names the key, its value, and the values that it may have.
    """
    cfg = cfg.copy()
    groups: dict[str, Any] = {"": cfg}
    for key, kind in table.items():
        if any(key == skipped or key.startswith(f"{skipped}.") for skipped in left_out):
            continue
        parent, _, name = key.rpartition(".")
        group = groups[parent] = groups[parent] if parent in groups else OmegaConf.select(cfg, parent)
        if not isinstance(group, DictConfig) or OmegaConf.is_missing(group, name):
            continue  # a missing value, `???`, gives an error when it is read
        if name not in group:
            if kind.absent is MISSING:
                continue
            if kind.absent is ... and may_lack:
                continue
            if kind.absent is ...:
                raise UserError(
                    f"{key} is missing: it was removed or its group was set to null, but it is needed; keep it."
                )
            with open_dict(group):
                group[name] = kind.absent
            continue
        value = group[name]
        if OmegaConf.is_config(value):  # members of lists are checked, so their interpolations are resolved
            value = OmegaConf.to_container(value, resolve=isinstance(value, ListConfig))
        check_value(key, value, kind)
        if kind in (PLACE, PLACE_OR_NULL) and str(value).startswith("~"):
            group[name] = in_home(value)
        for inner in value if kind is NODES else ():
            check_value(f"{key}.{inner}", value[inner], NODE_OR_NULL)
    return cfg


def refuse_unknown_keys(cfg: DictConfig, table: dict[str, Kind], groups: Sequence[str]) -> None:
    """Refuse a key that nothing reads, such as `+data.sise=96`.

    Args:
        cfg: The composed config.
        table: Key -> kind of its value.
        groups: Groups of which the table has every key.

    Raises:
        UserError: One line that names the key and the most similar ones.
    """
    for group in groups:
        known = {key.removeprefix(f"{group}.").partition(".")[0] for key in table if key.startswith(f"{group}.")}
        for name in map(str, OmegaConf.select(cfg, group) or ()):
            if name not in known:
                choices = get_close_matches(name, known) or sorted(known)
                raise UserError(f"{group}.{name} is unknown: choose from {', '.join(choices)}.")


def fill_plain(values: dict[str, Any], table: dict[str, Kind]) -> bool:
    """Do for the plain values of a stored config what `check_kinds` does, ten times as fast, in place.

    Args:
        values: The config as nested mappings, without interpolations; removed keys that may be null or empty are added.
        table: Key -> kind of its value; any key may be missing.

    Returns:
        Whether every value is of its kind; if not, `check_kinds` has the error.
    """
    for key, kind in table.items():
        *parents, name = key.split(".")
        group: Any = values
        for parent in parents:
            group = group.get(parent) if isinstance(group, dict) else None
        if not isinstance(group, dict):
            continue
        if name not in group:
            if kind.absent is not MISSING and kind.absent is not ...:
                group[name] = deepcopy(kind.absent)
            continue
        value = group[name]
        if not kind.fits(value) or (kind is NODES and not all(map(NODE_OR_NULL.fits, value.values()))):
            return False
    return True


def check_option(key: str, value: Any, as_key: str) -> None:
    """Refuse a value, and the options in it, that are not of the kind of another key of `TRAIN`; accept null.

    Raises:
        UserError: One line that names the key, its value, and the values that it may have.
    """
    if value is None:
        return
    check_value(key, value, TRAIN[as_key])
    names = [other.removeprefix(f"{as_key}.") for other in TRAIN if other.startswith(f"{as_key}.")]
    for name, inner in value.items() if names else ():
        if name not in names:
            raise UserError(f"{key}.{name} is unknown: choose from {', '.join(names)}.")
        check_option(f"{key}.{name}", inner, f"{as_key}.{name}")


def check_value(key: str, value: Any, kind: Kind) -> None:
    """Refuse a value that is not of a kind.

    Raises:
        UserError: One line that names the key, its value, and the values that it may have.
    """
    if not kind.fits(value):
        raise UserError(f"{key}={shown(value)}: give {kind.description}.")
