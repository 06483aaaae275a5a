"""Open files that others may have made: regular files only, and text, JSON and YAML of a bounded size and depth.

Nothing else in the package opens such a file, so that a pipe cannot block a command, nor a small file fill the memory.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from functools import cache
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import RESTORE, DamagedError, UserError

MB = 1_000_000
LARGEST_WHOLE = 2**53  # whole numbers up to here are exact in every program that reads JSON
_DEPTH = 50  # of lists and mappings in each other; no file of ours has more than ten
_REASONS = {
    errno.ENOENT: "The file does not exist, or is a link to a missing file: check its name and folder.",
    errno.ENOTDIR: "The file does not exist: check its name and folder.",
    errno.ELOOP: "The file is a link that leads to itself: name the file itself.",
    errno.EACCES: "Not allowed to read the file: change its permissions, or those of its folder.",
    errno.EPERM: "Not allowed to read the file: change its permissions, or those of its folder.",
    errno.ENAMETOOLONG: "The file's name is too long: give it a shorter one.",
}


class _IrregularError(OSError):
    """A pipe, a socket or a device."""


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; never a pipe or a device, which could block or change.

    Raises:
        UserError: In one line without the file's name, if it cannot be opened.
    """
    try:
        return _open(path)
    except IsADirectoryError:
        raise UserError(
            "This folder has no pictures, or you are not allowed to read it: name another file or folder."
        ) from None
    except _IrregularError:
        raise UserError("This is a pipe, a socket or a device: copy its content into a file.") from None
    except OSError as error:
        raise UserError(_REASONS.get(error.errno or 0, "The file cannot be opened: copy it to another disk.")) from None
    except ValueError:  # a null character, or one that the file system does not know
        raise UserError("The file's name has characters that no file can have: check its name.") from None


def read_bytes(path: Path, most: int = 100 * MB, cure: str = RESTORE) -> bytes:
    """Read a regular file of at most `most` bytes; `cure` says what to do if it is damaged, as in `DamagedError`.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedError: If it is not a regular file, cannot be read, or is larger.
    """
    try:
        with _open(path) as stream:
            content = read_at_most(stream, most + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DamagedError(path, f"it cannot be read ({getattr(error, 'strerror', None) or error})", cure) from None
    if len(content) > most:
        raise DamagedError(path, f"it has more than {most / MB:g} MB", cure)
    return content


def read_at_most(stream: BufferedIOBase, most: int) -> bytes:
    """Read at most so many bytes: not in one call, which would first reserve memory for all of them."""
    blocks = []
    while most and (block := stream.read(min(most, MB))):
        blocks.append(block)
        most -= len(block)
    return b"".join(blocks)


def read_text(path: Path, most: int = 100 * MB, cure: str = RESTORE) -> str:
    """Read a regular file of at most `most` bytes as UTF-8; `cure` is as in `DamagedError`.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedError: If it is not a regular file, larger, or not UTF-8.
    """
    try:
        return read_bytes(path, most, cure).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(path, f"it is not text in UTF-8 (byte {error.start})", cure) from None


def read_json(path: Path, kind: type = dict, most: int = 100 * MB, cure: str = RESTORE) -> Any:
    """Read JSON whose outermost value is of a type, nested at most 50 deep.

    Args:
        path: The file.
        kind: The type of the outermost value: dict or list.
        most: Its size in bytes, at most.
        cure: What to do if it is damaged, as in `DamagedError`.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedError: If it is something else.
    """
    return parse_json(read_text(path, most, cure), path, kind, cure)


def parse_json(text: str, path: Path, kind: type = dict, cure: str = RESTORE) -> Any:
    """Parse JSON as `read_json` does.

    Args:
        text: The JSON.
        path: The file that it stands in, for the error.
        kind: The type of the outermost value: dict or list.
        cure: What to do if it is damaged, as in `DamagedError`.

    Raises:
        DamagedError: If it is something else.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise DamagedError(path, f"it is nested more than {_DEPTH} deep", cure) from None
    except ValueError as error:
        raise DamagedError(path, str(error), cure) from None
    if not isinstance(content, kind):
        raise DamagedError(path, f"it holds a {type(content).__name__} instead of a {kind.__name__}", cure)
    if any(depth > _DEPTH for depth in _depths(content)):
        raise DamagedError(path, f"it is nested more than {_DEPTH} deep", cure)
    return content


def read_yaml(path: Path, most: int = MB, cure: str = RESTORE) -> dict[str, Any]:
    """Read a YAML mapping as OmegaConf reads it, with its interpolations as text: without aliases, at most 50 deep.

    Aliases are refused because a few lines of them can stand for billions of values; no file of ours has any. `cure`
    says what to do if the file is damaged, as in `DamagedError`.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedError: If it is something else.
    """
    return parse_yaml(read_text(path, most, cure), path, cure)


def parse_yaml(text: str, path: Path, cure: str = RESTORE) -> dict[str, Any]:
    """Parse a YAML mapping as `read_yaml` does.

    Args:
        text: The YAML.
        path: The file that it stands in, for the error.
        cure: What to do if it is damaged, as in `DamagedError`.

    Raises:
        DamagedError: If it is something else.
    """
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise DamagedError(path, "it has YAML aliases", cure)
            if depth > _DEPTH:
                raise DamagedError(path, f"it is nested more than {_DEPTH} deep", cure)
        content = yaml.load(text, Loader=_yaml_loader())
    # The last two: a tag on an impossible value, such as `!!bool maybe` and `!!timestamp x`.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        raise DamagedError(path, f"it is not YAML ({error})", cure) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise DamagedError(path, "it is not a mapping of names to values", cure)
    return content


@cache
def _yaml_loader() -> Any:
    """Return OmegaConf's loader with the parser in C, where PyYAML has it: the same values, five times as fast."""
    import yaml
    from omegaconf._utils import get_yaml_loader

    loader: Any = get_yaml_loader()
    if not hasattr(yaml, "CSafeLoader"):
        return loader

    def start(self: Any, stream: str) -> None:
        yaml.cyaml.CParser.__init__(self, stream)
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.Resolver.__init__(self)

    return type("Loader", (yaml.cyaml.CParser, loader), {"__init__": start})


def _depths(content: Any) -> Iterator[int]:
    """Yield the depth of each list and mapping, without recursion."""
    waiting = [(content, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list):
            yield depth
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]


def _open(path: Path) -> BufferedReader:
    """Open a regular file, or raise an OSError; a ValueError for a name that no file can have."""
    _check_regular(path.stat().st_mode)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    stream = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_regular(os.fstat(stream.fileno()).st_mode)  # another file may have this name by now
    except BaseException:
        stream.close()
        raise
    return stream


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise _IrregularError(errno.EINVAL, "it is a pipe, a socket or a device")
