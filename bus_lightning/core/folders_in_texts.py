"""Cut the folders of absolute paths out of texts: they may name a person or a patient."""

import re
from collections.abc import Mapping
from typing import Any

_ROOT = r"(?:~?/|~\\|[A-Za-z]:[/\\]|\\\\(?=\w))"  # of Linux, macOS and Windows
# A text that is nothing but an absolute path, whose folders may have blanks, commas and quotes in their names.
_PATH = re.compile(rf"{_ROOT}[^:\n]*[^:\n.]")
# Folders of absolute paths within a text, up to the last name.
_FOLDERS = re.compile(rf"(?<![\w.:/\\]){_ROOT}(?:[^/\\\s'\",;:]+[/\\])+(?=[^/\\\s'\",;:])")


def without_folders(value: Any) -> Any:
    """Shorten absolute paths to their last name, in texts and within dicts and lists."""
    if isinstance(value, Mapping):
        return {key: without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if _PATH.fullmatch(value) else _FOLDERS.sub("", value)
