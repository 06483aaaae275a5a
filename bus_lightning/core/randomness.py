"""Random decisions that are the same on every machine, in every process and for any number of workers."""

import hashlib
from collections.abc import Iterable


def stable_hash(*parts: object) -> int:
    """Hash printable values into an integer that no machine, version or process changes.

    Python's own `hash` differs from process to process, and NumPy does not promise that its generators
    keep their streams; a cryptographic hash does.

    Args:
        parts: Values whose `str` says all that matters of them.

    Returns:
        An integer in [0, 2**63), which every generator takes as a seed.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def shuffled(items: Iterable[str], *seed: object) -> list[str]:
    """Order items by their own hashes: at random, and an item more leaves the order of the others as it was."""
    return sorted(items, key=lambda item: (stable_hash(*seed, item), item))
