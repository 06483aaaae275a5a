"""Files that are not what their name or place says: other content, nothing, pipes and links."""

import os
import stat
from pathlib import Path

import numpy as np

_ENDINGS = ("png", "jpg", "bmp", "tif", "dcm", "mp4", "avi")
_CONTENTS = {
    "text": b"name,label\n" * 50,
    "page": b"<!DOCTYPE html><html></html>",
    "pdf": b"%PDF-1.7\n%\xe2\xe3",
    "zip": b"PK\x03\x04\x14\0" + bytes(100),
    "zeros": bytes(5000),
    "noise": np.random.default_rng(0).bytes(5000),
    "empty": b"",
    "byte": b"\x07",
}


def wrong_files(intact: dict[str, bytes]) -> dict[str, bytes]:
    """Give each content that is no picture each extension, and each intact file the extension of another format.

    Args:
        intact: File name -> content.

    Returns:
        File name -> content.
    """
    files = {f"{name}.{ending}": content for name, content in _CONTENTS.items() for ending in _ENDINGS}
    for k, (name, content) in enumerate(intact.items()):
        kind = name.rpartition(".")[2]
        others = [ending for ending in _ENDINGS if ending != kind]
        files[f"{name}.{others[k % len(others)]}"] = content
    return files


def make_places(folder: Path, intact: bytes) -> list[Path]:
    """Make pipes, sockets, links and odd names in a new folder, all with the extension of a picture.

    Args:
        folder: Where.
        intact: Content of a picture.
    """
    folder.mkdir(parents=True)
    paths = [folder / f"{name}.png" for name in ("pipe", "socket", "folder", "closed", "new\nline", "乳腺", "-rf")]
    os.mkfifo(paths[0])
    os.mknod(paths[1], stat.S_IFSOCK | 0o600)
    paths[2].mkdir()
    for path in paths[3:]:
        path.write_bytes(intact)
    paths[3].chmod(0)
    links = {"to-nothing": "missing", "to-itself": "to-itself.png", "to-zero": "/dev/zero", "to-random": "/dev/urandom",
             "to-full": "/dev/full", "to-terminal": "/dev/tty", "to-memory": "/proc/self/mem", "to-pipe": "pipe.png",
             "to-folder": "folder.png"}  # fmt: skip
    for name, target in links.items():
        (folder / f"{name}.png").symlink_to(target)
        paths.append(folder / f"{name}.png")
    return paths
