"""What may leave the machine: the names of image files, if the config lets them; never the folders of a path."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

_FOLDERS = re.compile(r"(?<![\w.:/])~?/(?:[^/\s'\",;:]+/)+(?=[^/\s'\",;:])")  # of absolute paths, up to the last name


def may_name_images(cfg: DictConfig) -> bool:
    """Say whether a run's config lets the names of image files go to W&B; that of older runs does."""
    return bool((cfg.logger.get("wandb") or {}).get("image_names", True))


def without_folders(value: Any) -> Any:
    """Shorten absolute paths to their last name, in texts and within dicts and lists."""
    if isinstance(value, Mapping):
        return {key: without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(inner) for inner in value]
    return _FOLDERS.sub("", value) if isinstance(value, str) else value
