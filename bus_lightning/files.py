"""Write a file so that it is whole or not there."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it onto `path` when the block ends well.

    A full disk, an exception or a kill leaves what was at `path` untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_aside(path: Path, text: str) -> None:
    """Write a text file, in UTF-8, aside and rename it."""
    with aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
