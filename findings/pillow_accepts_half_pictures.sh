#!/usr/bin/env bash
# Pillow takes PNG, JPEG and JPEG 2000 files that hold half of a picture as whole, if they have a regular end.
#
# Library: pillow 12.3.0 (libjpeg-turbo 3.1.4.1, OpenJPEG 2.5.4), numpy 2.4.6.
# Guess: a file that lacks pixels raises "image file is truncated", as one does that is simply cut off.
# Seen: a PNG whose packed pixels end early passes even verify(), and its other rows are black; half a JPEG is filled
#   with grey (libjpeg warns, Pillow hides it); a JPEG 2000 without eleven of its sixteen tiles is black there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

picture = np.random.default_rng(0).integers(1, 255, (256, 256), dtype=np.uint8)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def read(data):
    return np.asarray(Image.open(BytesIO(data)))


def encoded(kind, **options):
    stream = BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return stream.getvalue()


head = chunk(b"IHDR", struct.pack(">IIBBBBB", 256, 256, 8, 0, 0, 0, 0))
rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in picture[:128]))
png = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
Image.open(BytesIO(png)).verify()
print("PNG: the lower rows have the levels", np.unique(read(png)[128:]))
assert (read(png)[128:] == 0).all()

jpeg = encoded("JPEG")
half = read(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
print("JPEG: the last rows have the levels", np.unique(half[-8:]))
assert (half[-8:] == 128).all()

tiles = encoded("JPEG2000", no_jp2=True, tile_size=(64, 64))
at = tiles.index(b"\xff\x90")
for _ in range(5):
    at += int.from_bytes(tiles[at + 6 : at + 10], "big")
share = (read(tiles[:at] + b"\xff\xd9") == 0).mean()
print(f"JPEG 2000: {share:.2f} of the picture is black")
assert share == 11 / 16
PYTHON
echo "As described."
