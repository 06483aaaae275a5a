"""Files that are wrong in many ways, drawn for the tests.

Every name, and every DICOM header, carries `PATIENT`, which no message may repeat.
"""

import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
from drawn_files import PATIENT, SIDE, dicom, encoded, picture, png_bomb, sized_jpeg, tiff, video
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit, RLELossless

CUT = "cut off"
SHORT = "cut off, it has"
MISSING = "compressed images are missing"
FEW = "at least 16 x 16"
MANY = "make it smaller"


def _pictures():
    png, jpeg, bmp, plain = (encoded(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF"))
    packed = encoded("TIFF", compression="tiff_lzw")
    deep = picture(channels=1).astype(np.uint16) * 257
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 1
    pages = BytesIO()
    first, *others = (Image.fromarray(picture(k)) for k in range(3))
    first.save(pages, "TIFF", save_all=True, append_images=others)
    animated = BytesIO()
    first.save(animated, "PNG", save_all=True, append_images=others)
    floats = np.linspace(0, 1, SIDE * SIDE, dtype="<f4").reshape(SIDE, SIDE)
    with_nan, infinite = floats.copy(), floats.copy()
    with_nan[3, 4], infinite[5, 6] = np.nan, np.inf
    wide = np.full((SIDE, SIDE), 70_000, np.int32)
    return {
        **{f"half.{kind}": (data[: len(data) // 2], CUT) for kind, data in
           {"png": png, "jpg": jpeg, "bmp": bmp, "tif": plain, "lzw.tif": packed}.items()},
        "only-signature.png": (png[:8], CUT),
        "without-end.png": (png[:-12], CUT),
        "one-bit-flipped.png": (bytes(flipped), CUT),
        "bad-header.png": (png[:16] + bytes(8) + png[24:], CUT),
        "animation-cut.png": (animated.getvalue()[:-400], CUT),
        "only-start.jpg": (jpeg[:20], CUT),
        "noise.jpg": (jpeg[:3] + bytes(range(256)) * 4, CUT),
        "last-byte-missing.bmp": (bmp[:-1], CUT),
        "only-header.bmp": (bmp[:30], CUT),
        "half-16-bit.tif": (encoded("TIFF", deep)[: SIDE * SIDE], CUT),
        "pages-cut.tif": (pages.getvalue()[: len(pages.getvalue()) // 2], CUT),
        "strip-missing.tif": (tiff(SIDE, SIDE, b"12345"), CUT),
        "compression-unknown.tif": (tiff(SIDE, SIDE, bytes(SIDE * SIDE), compression=34712), "rare compression"),
        "one-pixel.png": (encoded("PNG", picture(side=1)), FEW),
        "one-pixel.bmp": (encoded("BMP", picture(side=1)), FEW),
        "one-column.jpg": (encoded("JPEG", picture()[:, :1]), FEW),
        "15-rows.tif": (encoded("TIFF", picture()[:15]), FEW),
        "bomb.png": (png_bomb(20_000), MANY),
        "small-bomb.png": (png_bomb(6_000), MANY),
        "huge.jpg": (sized_jpeg(20_000, 20_000), MANY),
        "wide.bmp": (bmp[:18] + struct.pack("<ii", 1_500_000, 16) + bmp[26:], "on a side"),
        "huge.bmp": (bmp[:18] + struct.pack("<ii", 20_000, 20_000) + bmp[26:], MANY),
        "huge.tif": (tiff(20_000, 20_000, bytes(100)), MANY),
        "not-a-number.tif": (encoded("TIFF", with_nan), "NaN"),
        "infinite.tif": (encoded("TIFF", infinite), "NaN or infinite"),
        "float-negative.tif": (encoded("TIFF", floats - 1), "floating-point levels outside"),
        "float-large.tif": (encoded("TIFF", floats * 1e6), "floating-point levels outside"),
        "integers-large.tif": (encoded("TIFF", wide), "above 65535"),
        "integers-negative.tif": (encoded("TIFF", -wide), "below 0"),
        "lab.tif": (encoded("TIFF", Image.frombytes("LAB", (SIDE, SIDE), picture().tobytes())), "unsupported colour"),
    }  # fmt: skip


def _others():
    frames = [Image.fromarray(picture(k)) for k in range(3)]
    gif = BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    return {
        **{f"empty.{ending}": (b"", "empty") for ending in ("png", "jpg", "bmp", "tif", "dcm", "mp4")},
        "text.png": (f"{PATIENT}, Erika\n".encode(), "a text"),
        "table.dcm": (b"name,label\n" * 50, "a text"),
        "page.jpg": (b"<!DOCTYPE html><html></html>", "web page"),
        "drawing.png": (b"\xef\xbb\xbf <svg xmlns='http://www.w3.org/2000/svg'/>", "drawing"),
        "zeros.png": (bytes(5000), "unknown kind"),
        "noise.dcm": (np.random.default_rng(0).bytes(5000), "unknown kind"),
        "one-byte.bmp": (b"\x07", "unknown kind"),
        "report.png": (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        "encrypted-report.pdf.jpg": (b"%PDF-1.7\ntrailer <</Encrypt 5 0 R>>", "PDF"),
        "archive.png": (b"PK\x03\x04\x14\0" + bytes(100), "ZIP archive"),
        "encrypted-archive.dcm": (b"PK\x03\x04\x14\0\x01\0" + bytes(100), "ZIP archive"),
        "packed.tif": (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        "seven.png": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z"),
        "packed.jpg": (b"Rar!\x1a\x07\x01\0", "RAR"),
        "letter.png": (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500), "encrypted"),
        "encrypted.dcm": (b"Salted__" + bytes(range(100)), "decrypt"),
        "encrypted.png": (b"-----BEGIN PGP MESSAGE-----\n", "decrypt"),
        "animated.png": (gif.getvalue(), "GIF"),
        "web.jpg": (encoded("WEBP"), "WebP"),
        "two-thousand.jpg": (encoded("JPEG2000"), "JPEG 2000"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        "clip.mp4": (b"\x1aE\xdf\xa3" + bytes(50), "Matroska"),
        "clip.avi": (bytes.fromhex("3026b2758e66cf11"), "Windows Media"),
    }


def _dicoms():
    jpeg = encoded("JPEG", picture(channels=1))
    whole, compressed = dicom(), dicom([jpeg], str(JPEGBaseline8Bit))
    grey = picture(channels=1)
    base = "1.2.840.10008.1.2"
    return {
        "report.dcm": (dicom(b""), "no images"),
        "only-magic.dcm": (bytes(128) + b"DICM", "no images"),
        "header-cut.dcm": (whole[:200], "DICOM file"),
        "float-pixels.dcm": (dicom(b"", FloatPixelData=bytes(SIDE * SIDE * 4)), "no images"),
        "pixels-cut.dcm": (whole[:-100], SHORT),
        "pixels-short.dcm": (dicom(bytes(100)), SHORT),
        "frames-missing.dcm": (dicom(NumberOfFrames=5), SHORT),
        "compressed-cut.dcm": (compressed[:-300], MISSING),
        "compressed-frames-missing.dcm": (dicom([jpeg], str(JPEGBaseline8Bit), NumberOfFrames=4), MISSING),
        "compressed-frame-cut.dcm": (dicom([jpeg[: len(jpeg) // 2]], str(JPEGBaseline8Bit)), CUT),
        "not-encapsulated.dcm": (compressed.replace(b"OB\0\0\xff\xff\xff\xff", b"OB\0\0\0\1\0\0"), MISSING),
        "noise-as-jpeg.dcm": (dicom([bytes(range(256))], str(JPEGBaseline8Bit)), CUT),
        "other-size-inside.dcm": (dicom([sized_jpeg(64, 64)], str(JPEGBaseline8Bit)), "another size"),
        "huge-inside.dcm": (dicom([sized_jpeg(20_000, 20_000)], str(JPEGBaseline8Bit)), "another size"),
        "rle-cut.dcm": (dicom([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 3], str(RLELossless)), CUT),
        "jpeg-ls.dcm": (dicom([jpeg], f"{base}.4.80"), "no decoder"),
        "jpeg-lossless.dcm": (dicom([jpeg], f"{base}.4.70"), "no decoder"),
        "jpeg-12-bit.dcm": (dicom([jpeg], f"{base}.4.51", BitsAllocated=16, BitsStored=12), "no decoder"),
        "high-throughput.dcm": (dicom([jpeg], f"{base}.4.201"), "no decoder"),
        "mpeg.dcm": (dicom([jpeg], f"{base}.4.102"), "no decoder"),
        "private-compression.dcm": (dicom([jpeg], "1.2.3.4.5.6"), "no decoder"),
        "deflated.dcm": (dicom(syntax=f"{base}.1.99"), "deflated"),
        "huge.dcm": (dicom(Rows=20_000, Columns=20_000), MANY),
        "no-rows.dcm": (dicom(Rows=0), FEW),
        "rows-not-said.dcm": (dicom(without=("Rows",)), CUT),
        "many-frames.dcm": (dicom(NumberOfFrames=1_000_000), "more than 3000"),
        "frames-negative.dcm": (dicom(NumberOfFrames=-3), CUT),
        "32-bit.dcm": (dicom(bytes(SIDE * SIDE * 4), BitsAllocated=32, BitsStored=32, HighBit=31), "8 nor 16"),
        "one-bit.dcm": (dicom(bytes(SIDE * SIDE // 8), BitsAllocated=1, BitsStored=1, HighBit=0), "8 nor 16"),
        "more-stored-than-there.dcm": (dicom(BitsStored=12), CUT),
        "below-zero.dcm": (dicom((grey.astype("<i2") - 100).tobytes(), BitsAllocated=16, BitsStored=16, HighBit=15,
                                 PixelRepresentation=1), "below 0"),
        "odd-colours.dcm": (dicom(PhotometricInterpretation="HSV"), CUT),
        "samples-do-not-fit.dcm": (dicom(PhotometricInterpretation="RGB"), CUT),
        "palette-missing.dcm": (dicom(PhotometricInterpretation="PALETTE COLOR"), CUT),
        "nested-without-end.dcm": (_nested(whole), CUT),
        "window-is-text.dcm": (_window_of_text(), CUT),
        "window-without-width.dcm": (dicom(WindowCenter=5, WindowWidth=0), CUT),
    }  # fmt: skip


def _window_of_text():
    data = dicom(WindowCenter="1234567890", WindowWidth="100")
    return data.replace(b"1234567890", PATIENT[:10].encode())


def _nested(data, depth=5000):
    at = data.index(b"\x08\0\x16\0UI")
    sequence, item = b"\x08\0\x40\x11SQ\0\0" + b"\xff" * 4, b"\xfe\xff\0\xe0" + b"\xff" * 4
    return data[:at] + (sequence + item) * depth + data[at:]


def _videos(folder):
    mp4, avi = (video(folder / f"v.{kind}", code=code) for kind, code in (("mp4", "mp4v"), ("avi", "MJPG")))
    return {
        "cut.mp4": (mp4[: len(mp4) // 2], CUT),
        "start.mp4": (mp4[:64], CUT),
        "cut.avi": (avi[: len(avi) // 2], CUT),
        "start.avi": (avi[:64], CUT),
        "zeros.avi": (avi[:12] + bytes(5000), CUT),
        "tiny.avi": (video(folder / "v.avi", side=8), FEW),
    }


def make_bad_files(folder):
    """Write files that are wrong in different ways.

    Args:
        folder: Where; made if it is missing.

    Returns:
        dict of the path, as given to a user's command, and words that the message must have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bad = {}
    for name, (data, words) in (_pictures() | _others() | _dicoms() | _videos(folder)).items():
        path = folder / f"{PATIENT}-{name}"
        path.write_bytes(data)
        bad[path] = words
    for name in (
        "new\nline.png",
        "乳腺 超声.png",
        "ультразвук.jpg",
        "صورة.tif",
        "emoji-🩺.dcm",
        "-rf.png",
        "%s{0}.png",
    ):
        path = folder / f"{PATIENT}-{name}"
        path.write_bytes(b"")
        bad[path] = "empty"
    raw = Path(os.fsdecode(os.fsencode(folder) + f"/{PATIENT}-".encode() + b"\xff\xfe.png"))  # no UTF-8
    raw.write_bytes(b"")
    bad[raw] = "empty"
    for name, target, words in (
        ("broken-link.png", "not-there", "does not exist"),
        ("link-to-itself.png", f"{PATIENT}-link-to-itself.png", "leads to itself"),
        ("link-to-device.png", "/dev/zero", "device"),
        ("link-to-folder.png", ".", "folder"),
    ):
        path = folder / f"{PATIENT}-{name}"
        path.symlink_to(target)
        bad[path] = words
    (folder / f"{PATIENT}-folder.png").mkdir()
    os.mkfifo(folder / f"{PATIENT}-pipe.png")
    return bad | {
        folder / f"{PATIENT}-folder.png": "folder",
        folder / f"{PATIENT}-pipe.png": "pipe",
        folder / f"{PATIENT}-missing.png": "does not exist",
        folder / f"{PATIENT}-text.png" / "below-a-file.png": "does not exist",
        folder / (f"{PATIENT}-" + "long" * 100): "too long",
        folder / f"{PATIENT}-null-\0.png": "characters",
    }
