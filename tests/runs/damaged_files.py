"""A kept run, copied, and the ways in which a file of it is damaged."""

import os
import shutil
from pathlib import Path

from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.images import COLUMNS

KEPT = Path(__file__).parents[1] / "kept"


def copy_run(to, kind="two_stage/classifier-null"):
    run = RunDir(Path(shutil.copytree(KEPT / "runs" / kind, to)))
    shutil.copy(KEPT / "fingerprints.npz", run.fingerprints)
    run.sets.write_text('{"sets": {"busi": {"data": "busi", "images": 9}}, "parts": {"test": {}}, "seen": 0}')
    run.images.write_text(f"{','.join(COLUMNS)}\na,busi,benign,,0,500,400,0.1,,1,0,unknown,unknown\n")
    return run


def nested(file):
    """Write a file of the same kind that is nested 100,000 deep."""
    depth = 100_000
    texts = {".json": '{"a":' * depth + "1" + "}" * depth, ".yaml": "{a: " * depth + "1" + "}" * depth}
    file.write_text(texts.get(file.suffix, "[" * depth))


def replaced(make):
    def damage(file):
        file.unlink()
        make(file)

    return damage


DAMAGES = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "nested": nested,
    "another type": lambda file: file.write_text("[1, 2]"),
    "a text": lambda file: file.write_text('"text"'),
    "not UTF-8": lambda file: file.write_bytes(b"\xff\xfe\x00\x81" * 50),
    "aliases": lambda file: file.write_text("a: &a [1]\nb: *a\n"),
    "a folder": replaced(Path.mkdir),
    "a pipe": replaced(os.mkfifo),
    "an endless device": replaced(lambda file: file.symlink_to("/dev/zero")),
    "a link to itself": replaced(lambda file: file.symlink_to(file)),
}
