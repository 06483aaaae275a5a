"""Ways to damage a file in place, whatever it holds, and further ways for text, JSON and YAML."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]
_DEEP = 100_000  # levels of nesting
_BOMB = 20  # aliases, each of which stands for two of the one before


def everywhere() -> dict[str, Damage]:
    """Return the ways that fit every file: name -> function that damages the file at a path."""
    return {
        "empty": lambda path: _write(path, b""),
        "half": lambda path: _write(path, path.read_bytes()[: path.stat().st_size // 2]),
        "most": lambda path: _write(path, path.read_bytes()[:-3]),
        "zeros": lambda path: _write(path, bytes(5000)),
        "noise": lambda path: _write(path, bytes(range(256)) * 20),
        "pipe": lambda path: (path.unlink(), os.mkfifo(path))[0],
        "endless": lambda path: _link(path, "/dev/zero"),
        "loop": lambda path: _link(path, path.name),
        "folder": lambda path: (path.unlink(), path.mkdir())[0],
    }


def write_files(folder: Path, ending: str, makers: Mapping[str, Callable[[], bytes]], intact: bytes) -> list[Path]:
    """Write a file of each maker, and an intact file damaged in each way of `everywhere`; return their paths."""
    paths = []
    for name, make in makers.items():
        paths.append(folder / f"{name}.{ending}")
        paths[-1].write_bytes(make())
    for name, damage in everywhere().items():
        paths.append(folder / f"{name}.{ending}")
        paths[-1].write_bytes(intact)
        damage(paths[-1])
    return paths


def of_json() -> dict[str, Damage]:
    """Return further ways for a JSON file whose top level is a mapping."""
    return {
        "nested": lambda path: _write(path, b"[" * _DEEP + b"]" * _DEEP),
        "nested-key": lambda path: _write(path, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
        "list": lambda path: _write(path, b"[1, 2, 3]"),
        "number": lambda path: _write(path, b"7"),
        "null": lambda path: _write(path, b"null"),
        "no-keys": lambda path: _write(path, b"{}"),
        "long-number": lambda path: _write(path, b'{"a": ' + b"9" * 10_000 + b"}"),
        "texts": lambda path: _map(path, lambda value: "x"),
        "numbers": lambda path: _map(path, lambda value: 1e308),
        "infinite": lambda path: _map(path, lambda value: float("inf")),
        "lists": lambda path: _map(path, lambda value: [value]),
        "nulls": lambda path: _map(path, lambda value: None),
    }


def of_yaml() -> dict[str, Damage]:
    """Return further ways for a YAML file whose top level is a mapping."""
    aliases = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, _BOMB))
    return {
        "aliases": lambda path: _write(path, aliases.encode() + path.read_bytes()),
        "nested": lambda path: _write(path, b"a: " + b"[" * 20_000 + b"]" * 20_000),
        "list": lambda path: _write(path, b"- 1\n- 2\n"),
        "text": lambda path: _write(path, b"hello\n"),
        "tag": lambda path: _write(path, b"a: !!python/object/apply:os.getcwd []\n" + path.read_bytes()),
        "twice": lambda path: _write(path, path.read_bytes() * 2),
        "tabs": lambda path: _write(path, path.read_bytes().replace(b"  ", b"\t")),
    }


def of_csv() -> dict[str, Damage]:
    """Return further ways for a table."""
    return {
        "heading": lambda path: _write(path, path.read_bytes().partition(b"\n")[0]),
        "texts": lambda path: _cells(path, b"x"),
        "infinite": lambda path: _cells(path, b"inf"),
        "formula": lambda path: _cells(path, b"=1+1"),
        "control": lambda path: _cells(path, b"\x1b[31m"),
        "wide": lambda path: _write(path, path.read_bytes().replace(b"\n", b"," * 5000 + b"\n")),
    }


def change(path: Path, keys: str, value: Any) -> None:
    """Set a value in a JSON file; `keys` are joined by dots."""
    content = json.loads(path.read_text())
    *above, last = keys.split(".")
    place = content
    for key in above:
        place = place[key]
    place[last] = value
    path.write_text(json.dumps(content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _map(path: Path, change_value: Callable[[Any], Any]) -> None:
    """Change each value of the top level."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: change_value(value) for key, value in content.items()}))


def _cells(path: Path, cell: bytes) -> None:
    """Replace the last cell of each row."""
    heading, *rows = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([heading, *(row.rpartition(b",")[0] + b"," + cell for row in rows)]))
