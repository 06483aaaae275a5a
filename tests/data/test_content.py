"""A data folder is identified by the content of its files, which are read again only after a file has changed."""

import os
import shutil
import time
from pathlib import Path

import pytest
from tiny_sets import draw_image, draw_mask

from bus_lightning.data import content as module
from bus_lightning.data.collection import collect_images
from bus_lightning.data.content import content_hash, known_content
from bus_lightning.data.fingerprints import load_fingerprints
from bus_lightning.data.index import read_index
from bus_lightning.data.sources import images_masks, table
from bus_lightning.data.sources.registry import DataSet

MASK = "benign/benign (1)_mask.png"


@pytest.fixture
def settled(small_copy, monkeypatch):
    """A folder whose files are old enough for their times to be trusted."""
    monkeypatch.setattr(module, "_SETTLED_S", -1.0)
    return small_copy


@pytest.fixture
def reads(monkeypatch):
    """Count how often all files are read."""
    calls = []
    monkeypatch.setattr(module, "content_hash", lambda *args: calls.append(args) or content_hash(*args))
    return calls


def content(root):
    return content_hash(root, read_index(root))


def test_content_is_named_by_bytes_and_names_and_not_by_place(small_copy, tmp_path):
    elsewhere = Path(shutil.copytree(small_copy, tmp_path / "elsewhere"))
    first = content(small_copy)
    assert content(elsewhere) == first
    (elsewhere / MASK).write_bytes(b"another")
    second = content(elsewhere)
    (elsewhere / MASK).unlink()
    (elsewhere / MASK).symlink_to("nowhere")  # nobody reads it, and it must not cause a crash
    assert len({first, second, content(elsewhere)}) == 3


def test_files_are_read_once_while_none_changes(settled, tmp_path, reads):
    frame = read_index(settled)
    assert [known_content(settled, frame, tmp_path) for _ in range(3)] == [content(settled)] * 3
    assert len(reads) == 1


def test_a_change_is_seen_even_where_size_and_time_stay(settled, tmp_path, reads):
    frame, file = read_index(settled), settled / MASK
    before, status = known_content(settled, frame, tmp_path), file.stat()
    time.sleep(0.02)  # a tick of the file system's clock
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known_content(settled, frame, tmp_path) not in (before, None)
    assert len(reads) == 2


def test_files_that_changed_a_moment_ago_are_read_again(small_copy, tmp_path, reads):
    for _ in range(2):
        known_content(small_copy, read_index(small_copy), tmp_path)
    assert len(reads) == 2


def test_a_damaged_note_is_no_obstacle(settled, tmp_path):
    known_content(settled, read_index(settled), tmp_path)
    (note,) = tmp_path.glob("content-*.json")
    note.write_text("{")
    assert known_content(settled, read_index(settled), tmp_path) == content(settled)


def test_findings_are_never_those_of_a_source_that_gives_the_same_files_other_ids(tmp_path):
    for seed, name in enumerate("ab"):
        draw_image(tmp_path / "images" / f"{name}.png", seed)
        draw_mask(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "t.csv").write_text("image,mask\nimages/a.png,masks/a.png\nimages/b.png,masks/b.png\n")
    options = {"table": tmp_path / "t.csv", "columns": {"image": "image", "mask": "mask"}}
    indexes = {source.__name__: source.read(tmp_path, options) for source in (images_masks, table)}
    assert len({content_hash(tmp_path, index.frame) for index in indexes.values()}) == 1
    for _ in range(2):  # from the files, then from the cache
        for name, index in indexes.items():
            dataset = DataSet(name.rpartition(".")[2], tmp_path, index, ("unlabelled",))
            collection = collect_images([dataset], tmp_path / "cache")
            ids = index.frame["id"].tolist()
            assert list(collection.audit.groups) == list(load_fingerprints(collection.fingerprints)) == ids
