"""PNG and TIFF of more than 8 bits, written by hand, with whatever their headers claim."""

import struct
import zlib

import numpy as np


def png_16(array, before=b"", depth=16):
    """Write levels (H, W[, 1 to 4]) as a PNG of 16 bits; `before` are chunks that come before the pixels."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head), before, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name, data):
    """Write a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def significant(bits, channels=1):
    """Write the chunk that states how many bits are significant."""
    return chunk(b"sBIT", bytes([bits] * channels))


def tiff_of(pages, order="<", photometric=None, planar=1, tags=()):
    """Write arrays as the pages of a TIFF, each (H, W[, 3 or 4]) of any kind of number.

    Args:
        pages: The levels.
        order: Of the bytes, < or >.
        photometric: 0: the smallest level is white; None: grey or RGB, by the shape.
        planar: 2 puts each channel into its own strip.
        tags: More of them, (tag, numbers), in place of those that are written.
    """
    data = b"II*\0" if order == "<" else b"MM\0*"
    data += struct.pack(order + "I", 8)
    blocks = []
    at = 8
    for number, page in enumerate(pages):
        block = _page(page, at, order, photometric, planar, dict(tags), last=number == len(pages) - 1)
        blocks.append(block)
        at += len(block)
    return data + b"".join(blocks)


def _page(page, at, order, photometric, planar, tags, last):
    channels = 1 if page.ndim == 2 else page.shape[2]
    levels = page if planar == 1 else page.transpose(2, 0, 1)
    pixels = levels.astype(page.dtype.newbyteorder(order)).tobytes()
    pixels += bytes(len(pixels) % 2)
    kind = {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
    strips = channels if planar == 2 else 1
    entries = {
        256: [page.shape[1]], 257: [page.shape[0]], 258: [page.dtype.itemsize * 8] * channels, 259: [1],
        262: [photometric if photometric is not None else 1 if channels < 3 else 2], 277: [channels],
        278: [page.shape[0]], 279: [len(pixels) // strips] * strips, 284: [planar], 339: [kind] * channels,
        **({338: [2]} if channels in (2, 4) else {}), **tags,
    }  # fmt: skip
    long = 2 + 12 * (len(entries) + 1) + 4
    extra_at = at + long
    counts = [*map(len, entries.values()), strips]
    extra_size = sum(4 * count for count in counts if count > 1)
    start = extra_at + extra_size
    entries[273] = [start + k * (len(pixels) // strips) for k in range(strips)]
    table, extra = b"", b""
    for tag in sorted(entries):
        values = entries[tag]
        packed = struct.pack(order + "I" * len(values), *values)
        if len(values) > 1:
            table += struct.pack(order + "HHII", tag, 4, len(values), extra_at + len(extra))
            extra += packed
        else:
            table += struct.pack(order + "HHI", tag, 4, 1) + packed
    following = 0 if last else start + len(pixels)
    return struct.pack(order + "H", len(entries)) + table + struct.pack(order + "I", following) + extra + pixels


def grey(array):
    """Repeat (H, W) three times, (H, W, 3) uint8."""
    return np.repeat(array.astype(np.uint8)[..., None], 3, axis=2)
