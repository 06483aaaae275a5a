"""What the tests of the page share: a tiny bundle with samples, and the page in a separate process."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from tiny_bundle import make_bundle, speckled, with_disc

from bus_lightning.core.files import checksum
from bus_lightning.diagnosis import app
from bus_lightning.diagnosis.bundle import CHECKSUMS, files_of

NAME = "Jane_Doe_1962"
THRESHOLDS = {
    "malignant": {"threshold": 0.3, "sensitivity": 21 / 22, "specificity": 0.7, "asked": 0.95,
                  "positives": 22, "negatives": 80},
}  # fmt: skip
# Tells of every connection to another machine that the server opens, and of every file that has the visitor's name.
WATCHED = """
import sys
from bus_lightning.diagnosis.app import main

def watch(event, details):
    if event == "socket.connect" and isinstance(details[1], tuple) and details[1][0] not in ("127.0.0.1", "::1"):
        print("OUTSIDE", details[1], flush=True)
    if event == "socket.getaddrinfo" and details[0] not in ("127.0.0.1", "localhost", None):
        print("OUTSIDE", details[0], flush=True)

    if event in ("open", "os.rename") and "Jane_Doe" in repr(details):
        print("NAMED", event, flush=True)

sys.addaudithook(watch)
sys.exit(main())
"""


def save(image, path):
    Image.fromarray(image).save(path)
    return path


def save_given(folder):
    """Save the picture that the browser tests give to a page."""
    return save(with_disc(speckled(1, seed=99)[0]), folder / f"{NAME}.png")


def drop_files(page, *paths):
    """Drop files on a page."""
    page.evaluate(
        """(files) => {
            const data = new DataTransfer();
            for (const [bytes, name] of files) data.items.add(new File([new Uint8Array(bytes)], name));
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        [[list(path.read_bytes()), path.name] for path in paths],
    )


def make_page_bundle(folder):
    """Write a tiny bundle with thresholds and two samples."""
    make_bundle(folder, thresholds=THRESHOLDS)
    (folder / "samples").mkdir()
    for number in range(2):
        save(with_disc(speckled(1, seed=50 + number)[0]), folder / "samples" / f"phantom-{number}.png")
    lines = [f"{checksum(folder / name)}  {name}\n" for name in files_of(folder)]
    (folder / CHECKSUMS).write_text("".join(lines))
    return folder


class Server:
    """The page in a separate process, with a folder for all temporary files."""

    def __init__(self, bundle, folder, exist_ok=False, options=(), code=WATCHED):
        self.temporary, self.work, self.log = folder / "tmp", folder / "work", folder / f"log-{time.monotonic_ns()}"
        for made in (self.temporary, self.work):
            made.mkdir(exist_ok=exist_ok)
        environment = {**os.environ, "TMPDIR": str(self.temporary), "HOME": str(self.work), "OMP_NUM_THREADS": "1",
                       "PYTHONPATH": str(Path(app.__file__).parents[2])}  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *([str(bundle)] if bundle else []), "--port", "0", "--threads", "1",
                 "--max-mb", "2", *options],
                stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.work,
            )  # fmt: skip
        for _ in range(1200):
            if match := re.search(r"http://\S+/", self.log_text()):
                break
            assert self.process.poll() is None, self.log_text()
            time.sleep(0.1)
        self.address = match[0]

    def log_text(self):
        return self.log.read_text()

    def uploaded_files(self):
        """List the files that visitors have uploaded and that are still there."""
        return [file for file in self.temporary.glob("bus_lightning-page-*/**/*") if file.is_file()]

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
        return self.process.returncode
