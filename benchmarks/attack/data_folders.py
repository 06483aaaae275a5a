"""Split files, caches and data folders that are damaged or hold what they should not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack.broken import everywhere, of_json

_BYTES = 8  # of a cache's file, at which a change is made


def hostile_splits(intact: Path, folder: Path) -> list[Path]:
    """Write damaged copies of a run's split.json into a new folder."""
    folder.mkdir(parents=True)
    made = []
    for name, damage in (everywhere() | of_json()).items():
        path = folder / f"{name}.json"
        shutil.copy(intact, path)
        damage(path)
        made.append(path)
    content = json.loads(intact.read_text())
    others = {
        "unknown-images": {"test": ["benign/benign (9999)"]},
        "outside": {"test": ["../../outside"]},
        "overlapping": {"test": content["train"]},
        "nothing": {"test": []},
        "many": {"test": ["benign/benign (1)"] * 100_000},
        "numbers": {"test": [1, 2]},
    }
    for name, parts in others.items():
        (folder / f"{name}.json").write_text(json.dumps(content | parts))
        made.append(folder / f"{name}.json")
    return made


def damaged_caches(intact: Path, folder: Path) -> list[Path]:
    """Copy a cache for each damage of each of its files.

    Returns:
        The caches.
    """
    made = []
    for file in sorted(intact.iterdir()):
        if file.suffix == ".lock" or not file.is_file():
            continue
        for name, damage in (everywhere() | {"changed": _change_bytes, "cut": _cut_to_header}).items():
            cache = folder / f"{file.name}-{name}"
            shutil.copytree(intact, cache)
            damage(cache / file.name)
            made.append(cache)
    return made


def hostile_data_folders(intact: Path, folder: Path) -> list[Path]:
    """Copy a data folder for each thing that it should not hold.

    Returns:
        The data folders.
    """
    harms: dict[str, Callable[[Path], object]] = {
        "pipe": lambda root: os.mkfifo(root / "benign" / "benign (900).png"),
        "pipe-as-mask": lambda root: _replace_mask(root, lambda path: os.mkfifo(path)),
        "endless": lambda root: (root / "benign" / "benign (900).png").symlink_to("/dev/zero"),
        "endless-mask": lambda root: _replace_mask(root, lambda path: path.symlink_to("/dev/zero")),
        "loop": lambda root: (root / "benign" / "benign (900).png").symlink_to("benign (900).png"),
        "folder-loop": lambda root: (root / "benign" / "again").symlink_to(root),
        "to-nothing": lambda root: (root / "benign" / "benign (900).png").symlink_to("missing"),
        "text": lambda root: (root / "benign" / "benign (900).png").write_text("hello"),
        "empty": lambda root: (root / "benign" / "benign (900).png").write_bytes(b""),
        "half": lambda root: _halve(root / "benign" / "benign (1).png"),
        "formula": lambda root: _copy_image(root, "=1+1"),
        "control": lambda root: _copy_image(root, "\x1b[31mred"),
        "new-line": lambda root: _copy_image(root, "new\nline"),
        "long-name": lambda root: _copy_image(root, "a" * 240),
        "class-of-formula": lambda root: shutil.copytree(root / "benign", root / "@SUM(1)"),
        "pipe-at-top": lambda root: os.mkfifo(root / "pipe"),
    }
    made = []
    for name, harm in harms.items():
        root = folder / name
        shutil.copytree(intact, root)
        harm(root)
        made.append(root)
    return made


def _change_bytes(path: Path) -> None:
    """Change bytes in the middle, which only a checksum notices."""
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + _BYTES] = bytes(255 - value for value in data[at : at + _BYTES])
    path.write_bytes(bytes(data))


def _cut_to_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:64])


def _replace_mask(root: Path, make: Callable[[Path], object]) -> None:
    mask = sorted(root.glob("benign/*_mask.png"))[0]
    mask.unlink()
    make(mask)


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _copy_image(root: Path, name: str) -> None:
    for path in sorted(root.glob("normal/normal (1)*.png")):
        shutil.copy(path, path.with_name(path.name.replace("normal (1)", name)))
