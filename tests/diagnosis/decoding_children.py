"""Pictures for the child processes that decode files, and how to wait for what becomes of these."""

import os
import sys
import time
from pathlib import Path

import pytest
from drawn_files import PATIENT, encoded, picture
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import Limits

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="asks Linux about processes, and only it bounds their memory"
)
ANY = Limits()
WAIT = 60  # seconds that end a hang


def small_picture(folder):
    (folder / "small.png").write_bytes(encoded("PNG"))
    return folder / "small.png"


def large_picture(folder):
    """Save an ordinary picture of 9 million pixels, which takes more than 36 MB and a few hundredths of a second."""
    file = folder / f"{PATIENT}.png"
    Image.fromarray(picture(side=3000)).save(file, compress_level=1)
    return file


def refusal(decoders, path, limits=ANY, **options):
    with pytest.raises(UserError) as caught:
        list(decoders.read(path, limits, **options)[1])
    line = str(caught.value)
    assert PATIENT not in line
    assert "\n" not in line
    return line


def wait_until(is_so):
    for _ in range(20 * WAIT):
        if is_so():
            return True
        time.sleep(0.05)
    return False


def are_gone(processes):
    return wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
