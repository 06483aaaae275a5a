"""Small files whose headers announce too much, or numbers that no scanner writes."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

from benchmarks.attack.dicom_files import (
    JPEG,
    JPEG_2000,
    RLE,
    Element,
    codestream,
    dicom,
    element,
    numbers,
    region,
    run_lengths,
    sequence,
    text,
)
from benchmarks.attack.originals import encode, tiff

_SIDES = (0, 1, 15, 65_535)
_LARGE = 20_000  # pixels on a side: more than a picture may have
_TEXTS = ("0", "-1", "1e308", "1e999", "nan", "inf", "99999999", "abc", "")
_WHOLE = 2**31 - 1


def announced(grey: np.ndarray) -> dict[str, bytes]:
    """Write files that announce sizes, counts, regions, tiles, scans, frames, palettes, windows, slopes and spacings.

    Args:
        grey: (H, W) uint8.

    Returns:
        File name -> content.
    """
    return {**_jpegs(grey), **_tiffs(grey), **_dicom_sizes(grey), **_dicom_values(grey), **_codestreams(grey)}


def _jpegs(grey: np.ndarray) -> dict[str, bytes]:
    """Write JPEGs of other sizes than their data, and progressive ones with many scans."""
    data = encode(Image.fromarray(grey), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    sizes = {f"size-{side}": struct.pack(">HH", side, side) for side in (*_SIDES, _LARGE)}
    files = {f"{name}.jpg": data[:at] + size + data[at + 4 :] for name, size in sizes.items()}
    small = encode(Image.fromarray(grey[:64, :64]), "JPEG", progressive=True)
    start = small.rindex(b"\xff\xda")
    for number in (200, 1000):
        files[f"scans-{number}.jpg"] = small[:-2] + small[start:-2] * number + b"\xff\xd9"
    return files


def _tiffs(grey: np.ndarray) -> dict[str, bytes]:
    """Write TIFFs of large tiles and strips, of pages without end, and of long tables."""
    rows, columns = grey.shape
    pixels = grey.tobytes()

    def page(following: int = 0, **changes: tuple[int, int, list[int]]) -> bytes:
        entries = {"width": (256, 4, [columns]), "height": (257, 4, [rows]), "bits": (258, 3, [8]),
                   "compression": (259, 3, [1]), "meaning": (262, 3, [1]), "offsets": (273, 4, [8]),
                   "samples": (277, 3, [1]), "strip": (278, 4, [rows]), "sizes": (279, 4, [len(pixels)])}  # fmt: skip
        return tiff(pixels, (entries | changes).values(), following)

    tile = {side: {"tile": (322, 4, [side]), "tile_height": (323, 4, [side])} for side in (16, 4096, 65_536, _WHOLE)}
    places = {"offsets": (324, 4, [8]), "sizes": (325, 4, [len(pixels)])}
    return {
        **{f"tile-{side}.tif": page(**changes, **places) for side, changes in tile.items()},
        **{f"deflated-tile-{side}.tif": page(**changes, **places, compression=(259, 3, [8]))
           for side, changes in tile.items()},
        **{f"side-{side}.tif": page(width=(256, 4, [side]), height=(257, 4, [side])) for side in (*_SIDES, _WHOLE)},
        **{f"samples-{number}.tif": page(samples=(277, 3, [number])) for number in (0, 2, 5, 65_535)},
        **{f"bits-{number}.tif": page(bits=(258, 3, [number])) for number in (0, 1, 7, 64, 65_535)},
        "many-bits.tif": page(bits=(258, 3, [8] * 3000), samples=(277, 3, [3000])),
        "many-strips.tif": page(offsets=(273, 4, [8] * 20_000), sizes=(279, 4, [1] * 20_000), strip=(278, 4, [1])),
        "pages-without-end.tif": page(following=8 + len(pixels)),
        "many-entries.tif": tiff(pixels, [(256 + k, 4, [1]) for k in range(5000)]),
    }  # fmt: skip


def _dicom_sizes(grey: np.ndarray) -> dict[str, bytes]:
    """Write DICOM files of other sizes, depths, frames, palettes and regions than their data."""
    rows, columns = grey.shape
    pixels = grey.tobytes()

    def changed(**changes: tuple[int, str, bytes]) -> bytes:
        return dicom(rows, columns, pixels, changes={tag: (vr, value) for tag, vr, value in changes.values()})

    def palette(number: int, bits: int, entries: int) -> bytes:
        table = {0x00280004: ("CS", b"PALETTE COLOR ")}
        table |= {0x00281101 + k: ("US", numbers(number, 0, bits)) for k in range(3)}
        table |= {0x00281201 + k: ("OW", bytes(2 * entries)) for k in range(3)}
        return dicom(rows, columns, pixels, changes=table)

    sides = (*_SIDES, _LARGE)
    return {
        **{f"rows-{side}.dcm": dicom(side, side, pixels) for side in sides},
        **{f"rle-rows-{side}.dcm": dicom(side, side, [run_lengths(pixels)], RLE) for side in sides},
        **{f"frames-{value}.dcm": changed(frames=(0x00280008, "IS", str(value).encode()))
           for value in (-1, 0, 2, 3000, 3001, _WHOLE)},
        **{f"samples-{value}.dcm": changed(samples=(0x00280002, "US", numbers(value))) for value in (0, 2, 3, 65_535)},
        **{f"stored-{value}.dcm": changed(stored=(0x00280101, "US", numbers(value))) for value in (0, 1, 9, 65_535)},
        **{f"allocated-{value}.dcm": changed(allocated=(0x00280100, "US", numbers(value)))
           for value in (0, 1, 16, 64, 65_535)},
        **{f"palette-{number}-{bits}.dcm": palette(number, bits, entries)
           for number, bits, entries in ((0, 16, 256), (0, 16, 65_536), (1, 8, 1), (256, 0, 256), (256, 65_535, 256),
                                         (65_535, 16, 10), (256, 16, 0))},
        **{f"regions-{number}.dcm": dicom(rows, columns, pixels, regions=[region()] * number)
           for number in (2, 100, 5000)},
        "nested.dcm": _nested(rows, columns, pixels, 200),
    }  # fmt: skip


def _dicom_values(grey: np.ndarray) -> dict[str, bytes]:
    """Write DICOM files with odd windows, slopes, spacings and regions."""
    rows, columns = grey.shape
    tags = {"center": 0x00281050, "width": 0x00281051, "intercept": 0x00281052, "slope": 0x00281053}
    files = {
        f"{name}-{value or 'empty'}.dcm": dicom(rows, columns, grey.tobytes(), changes={tag: ("DS", text(value))})
        for name, tag in tags.items()
        for value in _TEXTS
    }
    for value in (*_TEXTS, "0.1", "0.1\\0.1\\0.1", "1e-9\\1e9", "-0.1\\0.1"):
        spacing = {0x00280030: ("DS", value.encode())}
        files[f"spacing-{value.replace(chr(92), '-') or 'empty'}.dcm"] = dicom(
            rows, columns, grey.tobytes(), changes=spacing
        )
    odd: dict[str, list[Element]] = {f"spacing-{value:g}": region(spacing=value)
                                     for value in (0.0, -1.0, 1e300, float("inf"), float("nan"))}  # fmt: skip
    odd |= {f"units-{units}": region(units=units) for units in (0, 65_535)}
    odd |= {f"right-{place}": region(right=place) for place in (0, _WHOLE, 2**32 - 1)}
    odd["empty"] = []
    files |= {f"region-{name}.dcm": dicom(rows, columns, grey.tobytes(), regions=[item]) for name, item in odd.items()}
    return files


def _codestreams(grey: np.ndarray) -> dict[str, bytes]:
    """Write JPEG 2000 within DICOM that announces other sizes, tiles, components, levels and layers."""
    rows, columns = grey.shape
    data = codestream(grey)
    coding = data.index(b"\xff\x52")
    changes = {
        "size": (8, struct.pack(">II", _LARGE, _LARGE)),
        "tiles-1": (24, struct.pack(">II", 1, 1)),
        "tiles-0": (24, struct.pack(">II", 0, 0)),
        "tiles-large": (24, struct.pack(">II", _WHOLE, _WHOLE)),
        "offset": (16, struct.pack(">II", _WHOLE, _WHOLE)),
        "components": (40, struct.pack(">H", 16_384)),
        "layers": (coding + 6, struct.pack(">H", 65_535)),
        "levels": (coding + 9, bytes([32])),
        "blocks": (coding + 10, bytes([10, 10])),
    }
    files = {}
    for name, (at, value) in changes.items():
        inner = data[:at] + value + data[at + len(value) :]
        files[f"j2k-{name}.dcm"] = dicom(rows, columns, [inner], JPEG_2000)
    jpeg = BytesIO()
    Image.fromarray(grey).save(jpeg, "JPEG")
    files["j2k-is-jpeg.dcm"] = dicom(rows, columns, [jpeg.getvalue()], JPEG_2000)
    files["jpeg-is-j2k.dcm"] = dicom(rows, columns, [data], JPEG)
    files["jpeg-twice.dcm"] = dicom(rows, columns, [jpeg.getvalue()] * 2, JPEG)
    return files


def _nested(rows: int, columns: int, pixels: bytes, depth: int) -> bytes:
    """Nest sequences of regions within each other."""
    inner = b""
    for _ in range(depth):
        inner = sequence(0x00186011, []) if not inner else element(0x00186011, "SQ", _item(inner))
    whole = dicom(rows, columns, pixels)
    at = whole.index(struct.pack("<HH", 0x0028, 0x0002))
    return whole[:at] + inner + whole[at:]


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
