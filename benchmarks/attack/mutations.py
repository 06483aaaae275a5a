"""Damage a file: cut it off, flip bits, or let its header announce another number."""

from collections.abc import Callable
from random import Random

from benchmarks.attack.fields import find_fields, mend

_HEAD = 600  # bytes: where flipped bits meet the header and not the pixels
_TEXTS = ("0", "-1", "1e308", "-1e308", "1e999", "nan", "inf", "-inf", "99999999", "0.0000000001", "1\\2\\3", "abc", "")


def cut(name: str, data: bytes, rng: Random) -> bytes:
    """Cut a file off at a random length; half of the lengths are in its last tenth or its header."""
    least, most = rng.choice(((1, len(data)), (1, len(data)), (len(data) * 9 // 10, len(data)), (1, _HEAD)))
    return data[: rng.randrange(least, max(least + 1, min(most, len(data))))]


def flip(name: str, data: bytes, rng: Random) -> bytes:
    """Flip one to sixteen bits, half of the time within the header only."""
    changed = bytearray(data)
    end = rng.choice((len(data), min(len(data), _HEAD)))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def announce(name: str, data: bytes, rng: Random) -> bytes:
    """Let one to three numbers of the header be large or odd; checksums stay right."""
    changed, fields = bytearray(data), find_fields(name, data)
    for field in rng.sample(fields, min(len(fields), rng.choice((1, 1, 1, 2, 3)))):
        place = slice(field.start, field.start + field.size)
        if field.order == "text":
            changed[place] = rng.choice(_TEXTS).encode()[: field.size].ljust(field.size)
        else:
            order = "big" if field.order == "big" else "little"
            known = int.from_bytes(data[place], order)
            changed[place] = _odd(known, field.size, rng).to_bytes(field.size, order)
    mend(name, changed)
    return bytes(changed)


def _odd(known: int, size: int, rng: Random) -> int:
    """Choose a number that differs from the known one: an extreme, a near one, or any."""
    most = 256**size - 1
    choices = [0, 1, most, most // 2, most // 2 + 1, known + 1, known - 1, known * 2, known * 16, known * 1000,
               rng.randrange(most + 1), rng.randrange(min(most, 65_535) + 1)]  # fmt: skip
    return rng.choice([value & most for value in choices if value & most != known])


MUTATIONS: dict[str, tuple[Callable[[str, bytes, Random], bytes], int]] = {
    # how, and how often of a hundred
    "cut off": (cut, 30),
    "bits flipped": (flip, 35),
    "header changed": (announce, 35),
}
