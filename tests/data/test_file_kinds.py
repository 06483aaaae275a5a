"""Training and diagnosis recognise files in the same way, by content, without PyTorch."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import HEAD_BYTES, describe_unknown, kind_of, recognise
from bus_lightning.data.index import pick_evenly
from bus_lightning.data.listing import HIDDEN, list_folder
from bus_lightning.diagnosis.reading import find_files

SYSTEM_FILES = ("Thumbs.db", "desktop.ini", "Icon\r", ".DS_Store", "._x.png")


def test_training_and_diagnosis_skip_the_same_system_files(tmp_path):
    folder = tmp_path / "benign"
    folder.mkdir()
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(folder / "x.png")
    for name in SYSTEM_FILES:
        (folder / name).write_bytes(b"\0\1\2")
    listing = list_folder(tmp_path)
    assert listing.images == {"benign/x": "benign/x.png"}
    assert listing.passed_over == {f"benign/{name}": HIDDEN for name in SYSTEM_FILES}
    left_out = {}
    assert find_files([tmp_path], left_out) == [folder / "x.png"]
    assert left_out == {}


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
    ],
)
def test_the_first_bytes_decide_and_the_name_does_not(start, kind, tmp_path):
    (tmp_path / "x.txt").write_bytes(start + bytes(300))
    assert kind_of(tmp_path / "x.txt") == kind
    assert recognise((start + bytes(300))[:HEAD_BYTES]) == kind


@pytest.mark.parametrize(
    ("content", "description"),
    [
        (b"name,label\n", "a text file"),
        (b"", "empty (0 bytes): export it again"),
        (b"%PDF-1.7", "a PDF: save its pictures as PNG"),
        (b"\0\0\0\x18ftypheic", "a HEIC or AVIF photo: save it as PNG"),
        (b"\xef\xbb\xbf <svg>", "a web page, XML or a drawing (SVG): save its pictures as PNG"),
        (bytes(50), "of an unknown kind"),
    ],
)
def test_other_files_get_a_description(content, description, tmp_path):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=r"^The file is ") as error:
        kind_of(tmp_path / "x.png")
    assert describe_unknown(error.value) == description


def test_recognising_files_needs_neither_pytorch_nor_pandas():
    code = (
        "import sys, bus_lightning.data.listing;"
        "print([name for name in sys.modules if name in ('torch', 'pandas', 'cv2', 'PIL')"
        " or name.startswith('bus_lightning.diagnosis.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_positions_are_chosen_evenly_with_both_ends():
    assert pick_evenly(10, 4) == [0, 3, 6, 9]
    assert pick_evenly(3, 8) == [0, 1, 2]
    assert pick_evenly(5, 1) == [0]
    assert pick_evenly(0, 4) == []
