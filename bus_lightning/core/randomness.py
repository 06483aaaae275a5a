"""Random decisions that are the same on every machine, in every process and for any number of workers."""

import hashlib
from collections.abc import Iterable


def stable_hash(*parts: object) -> int:
    """Hash printable values into an integer that no machine, version or process changes.

    Python's own `hash` differs between processes, and NumPy may change the streams of its generators.

    Args:
        parts: Values, identified by their `str`.

    Returns:
        An integer in [0, 2**63), a valid seed for every generator.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def shuffled(items: Iterable[str], *seed: object) -> list[str]:
    """Order items at random, by their hashes: an additional item does not change the order of the others."""
    return sorted(items, key=lambda item: (stable_hash(*seed, item), item))
