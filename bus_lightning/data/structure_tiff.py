"""Check before decoding what the pages of a TIFF announce, and whether pages compressed as JPEG are complete."""

from collections.abc import Callable
from io import BufferedIOBase

from bus_lightning.core.errors import UserError
from bus_lightning.data.structure_errors import POSSIBLY_INCOMPLETE, excessive, incomplete
from bus_lightning.data.structure_jpeg import check_jpeg
from bus_lightning.data.structure_tags import Entry, Tags

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _ROWS, _COUNTS = 256, 257, 258, 259, 273, 277, 278, 279
_PLANES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _TABLES = 284, 322, 323, 324, 325, 347
_JPEG = 7
_FAX_OR_OLD_JPEG = (2, 3, 4, 6)  # their decoders fill what is missing without a warning
_KNOWN = (
    1,
    2,
    3,
    4,
    5,
    6,
    _JPEG,
    8,
    32771,
    32773,
    32946,
    50000,
)  # not LZMA: its memory cannot be bounded before decoding
_TILE_BYTES = 16_000_000  # of a tile that is larger than its page
_SPARE = 64  # offsets beyond those that a page needs
_TABLE_BYTES = 100_000  # of the tables that the strips of a page share
_START, _END = b"\xff\xd8", b"\xff\xd9"  # of a JPEG


def check_tiff(stream: BufferedIOBase, check_size: Callable[[int, int], None]) -> tuple[str, ...]:
    """Check all pages of a TIFF.

    Args:
        stream: The opened file.
        check_size: Raises an error if a width and height are not wanted; it is called before anything is decoded.

    Returns:
        Codes of doubts: `POSSIBLY_INCOMPLETE` if no decoder can tell for a page.

    Raises:
        UserError: In one line without the file's name, when it announces too much, or is incomplete.
    """
    tags = Tags(stream)
    doubts: dict[str, None] = {}
    for page in tags.pages():
        doubts |= dict.fromkeys(_check_page(tags, page, check_size))
    return tuple(doubts)


def _check_page(tags: Tags, page: dict[int, Entry], check_size: Callable[[int, int], None]) -> tuple[str, ...]:
    def first(tag: int, default: int) -> int:
        return tags.whole(page.get(tag), default, most=1)[0]

    width, height, samples = first(_WIDTH, 0), first(_HEIGHT, 0), first(_SAMPLES, 1)
    if not width or not height:
        raise UserError("The TIFF has a page without a width or height: export it again.")
    check_size(width, height)
    bits, compression = max(tags.whole(page.get(_BITS), 1, most=16)), first(_COMPRESSION, 1)
    if samples > 16 or bits > 64:
        raise excessive("TIFF", f"{samples} samples of {bits} bits in a pixel")
    if compression not in _KNOWN:
        raise UserError("The TIFF is damaged or has a rare compression: save it as a PNG of 8 bits.")
    planes = samples if first(_PLANES, 1) == 2 else 1
    is_tiled = _TILE_OFFSETS in page
    across, down = (first(_TILE_WIDTH, 0), first(_TILE_HEIGHT, 0)) if is_tiled else (width, first(_ROWS, height))
    if not across or not down:
        raise UserError("The TIFF has tiles or strips without a size: export it again.")
    down = down if is_tiled else min(down, height)  # the largest number stands for all rows
    pixel_bytes = samples * bits / 8
    if across * down * pixel_bytes > max(_TILE_BYTES, 4 * width * height * pixel_bytes):
        raise excessive("TIFF", f"tiles of {across} x {down} pixels in a page of {width} x {height}")
    needed = -(-width // across) * -(-height // down) * planes
    offsets, counts = page.get(_TILE_OFFSETS if is_tiled else _OFFSETS), page.get(_TILE_COUNTS if is_tiled else _COUNTS)
    if offsets is not None and offsets.number > needed + _SPARE:
        raise excessive("TIFF", f"{offsets.number} tiles or strips in a page that has {needed}")
    if compression == _JPEG and offsets is not None and counts is not None:
        return _check_jpegs(tags, page, list(zip(tags.whole(offsets, 0), tags.whole(counts, 0), strict=False)),
                            (across, down))  # fmt: skip
    return (POSSIBLY_INCOMPLETE,) if compression in _FAX_OR_OLD_JPEG else ()


def _check_jpegs(
    tags: Tags, page: dict[int, Entry], pieces: list[tuple[int, int]], size: tuple[int, int]
) -> tuple[str, ...]:
    """Check the strips or tiles of a page that is compressed as JPEG, each with the tables that they share."""

    def check_size(width: int, height: int) -> None:
        if width > 2 * size[0] + _SPARE or height > 2 * size[1] + _SPARE:
            raise incomplete("TIFF")

    if sum(count for _, count in pieces) > 2 * tags.bytes:
        raise excessive("TIFF", "more data than the file has")
    shared = page.get(_TABLES)
    tables = b"" if shared is None else tags.bytes_at(shared.at, min(shared.number, _TABLE_BYTES))
    doubts: tuple[str, ...] = ()
    for at, count in pieces:
        data = tags.bytes_at(at, count)
        whole = _START + tables.removeprefix(_START).removesuffix(_END) + data.removeprefix(_START)
        try:
            doubts += check_jpeg(whole, check_size)
        except (OSError, SyntaxError, ValueError):  # of a kind that libtiff may know and Pillow does not
            doubts += (POSSIBLY_INCOMPLETE,)
    return doubts
