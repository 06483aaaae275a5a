"""Read PNG, JPEG, BMP and TIFF, whole or not at all."""

from collections.abc import Iterator
from io import BufferedReader

from PIL import Image

from bus_lightning.data.levels import OWN_SCALE, Scale, is_deep, read_levels, read_rgb, widest
from bus_lightning.diagnosis.frames import Frame, Limits, check_number, check_size, decoding, silence

silence("PIL")


def read_pictures(stream: BufferedReader, kind: str, limits: Limits, scale: Scale) -> tuple[int, Iterator[Frame]]:
    """Read the pictures of a file.

    The pages of a TIFF and of an animated PNG are frames; of a JPEG with previews the first picture is read. Each is
    decoded as in training. If the file does not state its bit depth, all its frames are on one scale.

    Args:
        stream: The file, open at its start.
        kind: PNG, JPEG, BMP or TIFF, as the content says.
        limits: What is read at most.
        scale: Smallest scale for a file that does not state its bit depth.

    Returns:
        Number of pictures, and an iterator that decodes one after another.

    Raises:
        UserError: When the file is damaged, too large, or of a kind that has no meaning here.
    """
    with decoding(kind):
        if kind == "PNG":  # its checksums, which decoding alone does not look at
            with Image.open(stream, formats=["PNG"]) as image:
                check_size(*image.size, limits)
                image.verify()
            stream.seek(0)
        image = Image.open(stream, formats=[kind])
        check_size(*image.size, limits)
        number = _count(image, limits)
    return number, _frames(image, stream, kind, number, limits, scale)


def _count(image: Image.Image, limits: Limits) -> int:
    """Count the pictures, without walking through more of them than the limit."""
    if image.format == "TIFF":
        for number in range(1, limits.frames + 1):
            try:
                image.seek(number)
            except EOFError:
                return number
        check_number(limits.frames + 1, limits)
    number = int(getattr(image, "n_frames", 1)) if image.format == "PNG" else 1
    check_number(number, limits)
    return number


def _frames(
    image: Image.Image, stream: BufferedReader, kind: str, number: int, limits: Limits, scale: Scale
) -> Iterator[Frame]:
    if number > 1:
        with decoding(kind):
            scale = widest([scale, *_scales(image, stream, number, limits)])
    for k in range(number):
        with decoding(kind):
            image.seek(k)
            check_size(*image.size, limits)
            array = read_rgb(image, stream, scale)
        yield Frame(array, k if number > 1 else None)


def _scales(image: Image.Image, stream: BufferedReader, number: int, limits: Limits) -> Iterator[Scale]:
    """Find the scale of each deep page; in an animation the first page tells whether all are deep."""
    for k in range(number if image.format == "TIFF" or is_deep(image, stream) else 0):
        image.seek(k)
        if is_deep(image, stream):
            check_size(*image.size, limits)
            yield OWN_SCALE.holding(read_levels(image, stream))
