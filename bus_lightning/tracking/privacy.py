"""What may leave the machine: the names of image files, if the config lets them; never the folders of a path."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

# A text that is nothing but an absolute path, whose folders may have blanks, commas and quotes in their names.
_PATH = re.compile(r"~?/[^:\n]*[^:\n.]")
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
    if not isinstance(value, str):
        return value
    return value.rstrip("/").rpartition("/")[2] if _PATH.fullmatch(value) else _FOLDERS.sub("", value)
