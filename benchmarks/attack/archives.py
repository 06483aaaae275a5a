"""Zips for `data.download`: members outside the folder, large announcements, damage."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.attack.broken import write_files
from benchmarks.attack.mutations import cut, flip

_OUTSIDE = ("../outside.png", "/outside.png", "C:/outside.png", "a/../../outside.png", "..\\outside.png",
            "benign/../../../outside.png", "//host/outside.png")  # fmt: skip
_ODD = ("benign/new\nline.png", "benign/=1+1.png", "benign/\x1b[31m.png", "benign/" + "a" * 300 + ".png", "",
        "benign/con.png", "benign/.png", "benign")  # fmt: skip
_GIGABYTES = 5 * 1024**3 // 2


def hostile_zips(images: Path, folder: Path, rng: Random) -> list[Path]:
    """Write hostile zips into a new folder.

    Args:
        images: A data folder, whose files the zips hold.
        folder: Where.
        rng: Where chance comes from.

    Returns:
        The zips.
    """
    folder.mkdir(parents=True)
    files = {f"images/{path.relative_to(images)}": path.read_bytes() for path in sorted(images.glob("*/*"))[:30]}
    files |= {f"images/{name}/{name} (1).png": next(iter(files.values())) for name in ("benign", "malignant", "normal")}
    intact = _zip(files)
    makers: dict[str, Callable[[], bytes]] = {
        **{f"outside-{k}": lambda name=name: _zip(files | {name: b"x"}) for k, name in enumerate(_OUTSIDE)},
        **{f"odd-{k}": lambda name=name: _zip(files | {name: b"x"}) for k, name in enumerate(_ODD)},
        "link": lambda: _zip(files, link="images/benign/link.png"),
        "announced": lambda: _announcing(intact),
        "nested": lambda: _zip({"Dataset_BUSI.zip": intact}),
        "many": lambda: _zip(files | {f"images/benign/{k}.txt": b"" for k in range(30_000)}),
        "nothing": lambda: _zip({}),
        "no-classes": lambda: _zip({"a.png": b"x"}),
        "two-sets": lambda: _zip(files | {f"more/{name}": content for name, content in files.items()}),
        "wrong-sum": lambda: _with_wrong_sum(intact),
        "encrypted": lambda: _flagged(intact, 1),
        "odd-method": lambda: _with_method(intact, 99),
        "before": lambda: b"MZ" + bytes(1000) + intact,
        "text": lambda: b"hello\n" * 100,
        **{f"cut-{k}": lambda: cut("", intact, rng) for k in range(6)},
        **{f"flipped-{k}": lambda: flip("", intact, rng) for k in range(6)},
    }
    return write_files(folder, "zip", makers, intact)


def _zip(files: dict[str, bytes], link: str | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(zipfile.ZipInfo(name) if name else zipfile.ZipInfo(" "), content)
        if link:
            member = zipfile.ZipInfo(link)
            member.external_attr = 0o120777 << 16
            zipped.writestr(member, "/etc/hostname")
    return stream.getvalue()


def _directory(data: bytes) -> list[int]:
    """List where the entries of a zip's directory begin."""
    places, at = [], data.find(b"PK\x01\x02")
    while at >= 0:
        places.append(at)
        at = data.find(b"PK\x01\x02", at + 4)
    return places


def _announcing(data: bytes) -> bytes:
    """Let the first two members claim to unpack to gigabytes."""
    changed = bytearray(data)
    for at in _directory(data)[:2]:
        changed[at + 24 : at + 28] = struct.pack("<I", _GIGABYTES)
    return bytes(changed)


def _with_wrong_sum(data: bytes) -> bytes:
    changed, at = bytearray(data), _directory(data)[0]
    changed[at + 16 : at + 20] = struct.pack("<I", zlib.crc32(b"another"))
    return bytes(changed)


def _flagged(data: bytes, flag: int) -> bytes:
    changed = bytearray(data)
    for at in _directory(data):
        changed[at + 8] |= flag
    return bytes(changed)


def _with_method(data: bytes, method: int) -> bytes:
    changed = bytearray(data)
    for at in _directory(data):
        changed[at + 10 : at + 12] = struct.pack("<H", method)
    return bytes(changed)
