"""Show the progress of a long loop: a bar in a terminal, a line every 15 seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
EVERY_S = 15.0  # seconds between two lines


def watched(things: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of an iterable, and show their number on the standard error.

    Args:
        things: The items.
        what: What is done to them, in one word.
        total: Number of items; None if it is unknown.
    """
    if sys.stderr.isatty():
        yield from tqdm(things, total=total, desc=what, leave=False)
        return
    printed = time.monotonic()
    for number, thing in enumerate(things, start=1):
        yield thing
        if time.monotonic() - printed >= EVERY_S:
            print(f"{what}: {number}{f' of {total}' if total else ''}", file=sys.stderr, flush=True)
            printed = time.monotonic()
