"""The memory of `predict`, its decoder included, has a bound that the largest images keep."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from drawn_files import dicom, encoded, picture
from PIL import Image
from tiny_bundle import make_bundle

from bus_lightning.diagnosis.frames import Limits

ROOT = Path(__file__).parents[2]
BOUND = 1.5e9  # bytes
SIDE = 5000


def memory_of(process):
    """Add up the resident memory of a process and of those that it has started, in bytes."""
    total = 0
    with suppress(OSError):
        total = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(memory_of(child) for child in (task / "children").read_text().split())
    return total


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of processes")
def test_predict_and_its_decoder_stay_within_their_memory_on_the_largest_images(tmp_path):
    assert Limits().pixels == SIDE**2
    (tmp_path / "in").mkdir()
    colors = picture(side=SIDE)
    grey = np.ascontiguousarray(colors[..., 0])
    deep = grey.astype(np.uint16) * 256 + colors[..., 1]
    header = {"Rows": SIDE, "Columns": SIDE}
    files = {
        "1.png": encoded("PNG", colors, compress_level=1),
        "2.jpg": encoded("JPEG", colors),
        "3.tif": encoded("TIFF", deep),
        "4.dcm": dicom(grey.tobytes(), **header),
        "5.dcm": dicom(deep.tobytes(), **header, BitsAllocated=16, BitsStored=16, HighBit=15),
        "6.png": encoded("PNG", Image.fromarray(deep), compress_level=1),
    }
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    bundle = make_bundle(tmp_path / "bundle")
    command = [sys.executable, "-m", "bus_lightning.diagnosis.predict", bundle, tmp_path / "in"]
    command += ["--out", tmp_path / "out", "--decode-seconds", "100"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.01)
    failures = process.stderr.read().decode()
    process.stderr.close()
    assert process.returncode == 0, failures
    assert len(list((tmp_path / "out").glob("*_overlay.png"))) == len(files)
    print(f"peak of predict and its decoder: {peak / 1e6:.0f} MB")
    assert 0.3e9 < peak < BOUND
