"""Intact files of every format that the diagnosis reads, made from one synthetic image."""

import struct
import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.attack.dicom_files import dicom_files

_TIFF = ("packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg", "zstd")
_FAX = ("group3", "group4", "tiff_ccitt")  # of one bit per pixel
_TILE = 64


def originals(grey: np.ndarray, scratch: Path) -> dict[str, bytes]:
    """Encode an image in every supported way.

    Args:
        grey: (H, W) uint8.
        scratch: Folder for the videos while they are written.

    Returns:
        File name -> content. The extension tells the format.
    """
    image = Image.fromarray(grey)
    color = Image.merge("RGB", (image, image, image))
    pages = [Image.fromarray(np.roll(grey, 8 * k, axis=1)) for k in range(1, 4)]
    deep = grey.astype(np.uint16) * 257
    animation: dict[str, Any] = {"save_all": True, "append_images": pages}
    return {
        "grey.png": encode(image, "PNG"),
        "color.png": encode(color, "PNG"),
        "palette.png": encode(color.convert("P"), "PNG"),
        "deep.png": encode(Image.fromarray(deep), "PNG"),
        "animated.png": encode(image, "PNG", **animation),
        "grey.jpg": encode(image, "JPEG"),
        "color.jpg": encode(color, "JPEG", subsampling=2),
        "progressive.jpg": encode(color, "JPEG", progressive=True),
        "restarts.jpg": encode(image, "JPEG", restart_marker_rows=1),
        "grey.bmp": encode(image, "BMP"),
        "color.bmp": encode(color, "BMP"),
        "plain.tif": encode(image, "TIFF"),
        **{f"{name}.tif": encode(image, "TIFF", compression=name) for name in _TIFF},
        **{f"{name}.tif": encode(image.convert("1"), "TIFF", compression=name) for name in _FAX},
        "deep.tif": encode(Image.fromarray(deep), "TIFF"),
        "floats.tif": encode(Image.fromarray(grey.astype(np.float32)), "TIFF"),
        "pages.tif": encode(image, "TIFF", **animation),
        "big.tif": encode(image, "TIFF", big_tiff=True),
        "tiles.tif": _tiled(grey),
        **dicom_files(grey),
        "clip.mp4": _video(scratch / "clip.mp4", [grey, *map(np.asarray, pages)], "mp4v"),
        "clip.avi": _video(scratch / "clip.avi", [grey, *map(np.asarray, pages)], "MJPG"),
    }


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image with Pillow."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(data: bytes, entries: Iterable[tuple[int, int, list[int]]], following: int = 0) -> bytes:
    """Write a little-endian TIFF of one page by hand.

    Args:
        data: Content from byte 8 on; the directory comes after it.
        entries: Tag, type (3: 16 bits, 4: 32 bits) and values of each entry.
        following: Offset of the next page, as the directory states it.
    """
    at = 8 + len(data)
    table, extra = b"", b""
    entries = sorted(entries)
    behind = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        packed = struct.pack(f"<{len(values)}{'xHI'[kind - 2]}", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", behind + len(extra)), extra + packed
        table += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    directory = struct.pack("<H", len(entries)) + table + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", at) + data + directory + extra


def _tiled(grey: np.ndarray) -> bytes:
    """Write a TIFF of deflated tiles."""
    rows, columns = grey.shape
    padded = np.pad(grey, ((0, -rows % _TILE), (0, -columns % _TILE)))
    tiles = [
        zlib.compress(padded[row : row + _TILE, column : column + _TILE].tobytes())
        for row in range(0, padded.shape[0], _TILE)
        for column in range(0, padded.shape[1], _TILE)
    ]
    sizes = [len(tile) for tile in tiles]
    offsets = [8 + sum(sizes[:k]) for k in range(len(sizes))]
    entries = [(256, 4, [columns]), (257, 4, [rows]), (258, 3, [8]), (259, 3, [8]), (262, 3, [1]), (277, 3, [1]),
               (322, 4, [_TILE]), (323, 4, [_TILE]), (324, 4, offsets), (325, 4, sizes)]  # fmt: skip
    return tiff(b"".join(tiles), entries)


def _video(path: Path, frames: list[np.ndarray], code: str) -> bytes:
    """Write a video with OpenCV and return its bytes."""
    rows, columns = (side // 16 * 16 for side in frames[0].shape)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (columns, rows))
    for frame in frames:
        writer.write(cv2.cvtColor(frame[:rows, :columns], cv2.COLOR_GRAY2BGR))
    writer.release()
    data = path.read_bytes()
    path.unlink()
    return data
