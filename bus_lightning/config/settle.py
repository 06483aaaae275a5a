"""Complete a run's config: return copies in which every value is set. No function here changes its argument."""

from collections.abc import Sequence

from omegaconf import DictConfig

from bus_lightning.config.data_sets import with_tested_sets
from bus_lightning.config.schema import TRAIN, check_kinds
from bus_lightning.core.errors import UserError

_OVERLAY = ("style", "source", "parts", "color", "color_by_class", "alpha")  # keys of every overlay


def settle(cfg: DictConfig, rules: int) -> DictConfig:
    """Settle what the config alone decides.

    - Removed keys that may be missing are null or empty.
    - An overlay that is meant for other tasks is removed. Its segmenter is trained for classifiers, which need its mask
      of every image (`sweep=two_stage`): all of its images are evaluated.
    - The data sets that `data.test` names are added.
    - `data.channels` counts the channel that `overlay.style=channel` adds.

    Args:
        cfg: The composed config, checked by `rules.check`.
        rules: Version of the rules for cleaning and resizing, where the config leaves them open.
    """
    settled = with_tested_sets(check_kinds(cfg, TRAIN))
    if settled.preprocess.rules is None:
        settled.preprocess.rules = rules
    if not overlay_is_used(settled):
        plain = dict(settled.overlay) | {"style": "none", "source": "ground_truth"}
        settled.overlay = {key: value for key, value in plain.items() if key in _OVERLAY}
        settled.trainer.limit_val_batches = settled.trainer.limit_test_batches = None
    elif settled.overlay.style == "channel":
        settled.data.channels = 4
    return settled


def with_names(cfg: DictConfig, group: str, name: str) -> DictConfig:
    """Settle the folder of a run, `<runs_dir>/<group>/<name>`."""
    settled = cfg.copy()
    settled.group, settled.name = group, name
    return settled


def with_images(cfg: DictConfig, classes: Sequence[str], segmenters: Sequence[str]) -> DictConfig:
    """Settle what is known when the images have been read.

    Args:
        cfg: The settled config.
        classes: The classes in the order of the labels.
        segmenters: Folders of the segmenters whose masks an overlay takes; empty without such an overlay.

    Raises:
        UserError: If the name of a folder would be resolved as a part of a config, or `data.num_classes` is set to
            another number.
    """
    for name in (*classes, *segmenters):
        if "${" in name:  # a config would put something else in its place
            raise UserError(f"The folder {name} has ${{ in its name: rename it.")
    if cfg.data.num_classes not in (None, len(classes)):
        raise UserError(
            f"data.num_classes={cfg.data.num_classes}, but the images have {len(classes)} classes "
            f"({', '.join(classes)}), which are counted: leave it out, and choose classes with "
            f"'data.classes=[{','.join(classes[:2])}]'."
        )
    settled = cfg.copy()
    settled.data.classes, settled.data.num_classes = list(classes), len(classes)
    if segmenters:
        settled.overlay.segmenters = list(segmenters)
    return settled


def overlay_is_used(cfg: DictConfig) -> bool:
    """Tell whether the overlay is meant for the run's task."""
    return cfg.task.name in (cfg.overlay.get("tasks") or [cfg.task.name])


def uses_masks(cfg: DictConfig) -> bool:
    """Return whether a settled overlay puts ground-truth masks into the input."""
    return cfg.overlay.style != "none" and cfg.overlay.source != "predicted"
