"""Record the code that a run is made with: its commit, uncommitted changes, and the versions of the libraries."""

import hashlib
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bus_lightning import __version__

_LIBRARIES = ("torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "albumentations",
             "opencv-python-headless", "numpy")  # fmt: skip
_KEYS = ("commit", "dirty", "changes", "versions")
_SHORT = 12  # digits of a commit


def present_code() -> dict[str, Any]:
    """Return what runs now: `commit`, `dirty`, `changes` (a hash of the uncommitted ones) and `versions`.

    The first three are None outside of a git checkout, also if the installed package lies in another project's.
    """
    # Not what pip has installed: an editable installation keeps the number of its day.
    versions = {"bus_lightning": __version__}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):  # such as of another build of OpenCV
            versions[name] = version(name)
    return _checkout() | {"versions": versions}


def codes_of(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the code of the first process of a run, and of each later one that continued it with other code.

    Args:
        status: The content of status.json; an older version kept only the code of the last process.
    """
    return [{key: status.get(key) for key in _KEYS}, *(status.get("later") or [])]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List what differs between two codes, such as `torch 2.13.0 -> 2.14.1`."""
    pairs = {"commit": tuple(str(code.get("commit"))[:_SHORT] for code in (before, now)),
             "uncommitted changes": tuple(map(_describe_changes, (before, now)))}  # fmt: skip
    old, new = before.get("versions") or {}, now.get("versions") or {}
    pairs |= {name: (str(old.get(name)), str(new.get(name))) for name in old | new}
    return [f"{name} {first} -> {second}" for name, (first, second) in pairs.items() if first != second]


def _describe_changes(code: Mapping[str, Any]) -> str:
    return str(code.get("changes") or "some") if code.get("dirty") else "none"


def _checkout() -> dict[str, Any]:
    def git(*arguments: str) -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, check=True, timeout=20
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # else it is the checkout of another project
        commit = git("rev-parse", "HEAD").decode()
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
        changes = hashlib.blake2b(git("diff", "HEAD"), digest_size=6).hexdigest() if dirty else None
        return {"commit": commit, "dirty": dirty, "changes": changes}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None, "changes": None}
