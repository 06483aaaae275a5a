"""Read PNG, JPEG, BMP and TIFF files."""

from collections.abc import Iterator
from io import BufferedReader

from PIL import Image

from bus_lightning.data.levels import OWN_SCALE, Scale, is_deep, read_levels, read_rgb, widest
from bus_lightning.data.structure import check_picture
from bus_lightning.diagnosis.frames import Frame, Frames, Limits, decoding, silence

silence("PIL")


def read_image_file(stream: BufferedReader, kind: str, limits: Limits, scale: Scale) -> Frames:
    """Read the images of a file of a kind that Pillow names: PNG, JPEG, BMP or TIFF.

    The pages of a TIFF and of an animated PNG are frames; of a JPEG with previews the first image is read. Images are
    decoded as in training. If the file does not state its bit depth, all frames share one scale, at least `scale`.

    Raises:
        UserError: When the file is damaged, incomplete, too large, or has levels without a meaning.
    """
    with decoding(kind):
        doubts = check_picture(stream, limits.check_size)
        if kind == "PNG":  # decoding alone does not check its checksums
            with Image.open(stream, formats=["PNG"]) as image:
                limits.check_size(*image.size)
                image.verify()
            stream.seek(0)
        image = Image.open(stream, formats=[kind])
        limits.check_size(*image.size)
        number = _count(image, limits)
    return number, _frames(image, stream, kind, number, limits, scale, doubts)


def _count(image: Image.Image, limits: Limits) -> int:
    """Count the images; of a TIFF visit no more pages than the limit."""
    if image.format == "TIFF":
        for number in range(1, limits.frames + 1):
            try:
                image.seek(number)
            except EOFError:
                return number
        limits.check_number(limits.frames + 1)
    number = int(getattr(image, "n_frames", 1)) if image.format == "PNG" else 1
    limits.check_number(number)
    return number


def _frames(
    image: Image.Image,
    stream: BufferedReader,
    kind: str,
    number: int,
    limits: Limits,
    scale: Scale,
    doubts: tuple[str, ...],
) -> Iterator[Frame]:
    if number > 1:
        with decoding(kind):
            scale = widest([scale, *_scales(image, stream, number, limits)])
    for k in range(number):
        with decoding(kind):
            image.seek(k)
            limits.check_size(*image.size)
            array = read_rgb(image, stream, scale)
        yield Frame(array, k if number > 1 else None, doubts=doubts)


def _scales(image: Image.Image, stream: BufferedReader, number: int, limits: Limits) -> Iterator[Scale]:
    """Find the scale of each deep page; in an animation either all images are deep or none is."""
    for k in range(number if image.format == "TIFF" or is_deep(image, stream) else 0):
        image.seek(k)
        if is_deep(image, stream):
            limits.check_size(*image.size)
            yield OWN_SCALE.holding(read_levels(image, stream))
