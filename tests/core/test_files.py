"""Files are whole or not there: what is on the disk before a file takes its name, and how it takes it."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bus_lightning.core.files import aside, folder_aside, write_aside, write_together
from bus_lightning.training.callbacks.checkpoints import SafeCheckpointIO


@pytest.fixture
def calls(monkeypatch):
    """Watch what is asked of the file system: names and inodes of what is synced and renamed, in order."""
    seen = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(number):
        seen.append(("fsync", os.fstat(number).st_ino, os.fstat(number).st_size))
        fsync(number)

    def watched_replace(self, target):
        seen.append(("rename", self.stat().st_ino, Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    return seen


def write_text(path):
    write_aside(path, "new")


def write_block(path):
    with aside(path) as temporary:
        temporary.write_bytes(b"new")


def write_checkpoint(path):
    SafeCheckpointIO().save_checkpoint({"epoch": 1}, path)


@pytest.mark.parametrize("write", [write_text, write_block, write_checkpoint])
def test_a_file_is_on_the_disk_before_it_is_renamed_onto_its_name(calls, tmp_path, write):
    path = tmp_path / "there.json"
    path.write_text("old")
    old = path.stat().st_ino
    write(path)
    (synced, number, size), (renamed, same, name) = calls
    assert (synced, renamed, name) == ("fsync", "rename", "there.json")
    assert number == same == path.stat().st_ino != old  # the file itself came, not a copy of it
    assert size == path.stat().st_size > 0  # and all of it was synced
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_the_earlier_file_stays_when_the_block_fails(calls, tmp_path, error):
    path = tmp_path / "there.json"
    path.write_text("old")

    def fail():
        with aside(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (path.read_text(), calls, list(tmp_path.iterdir())) == ("old", [], [path])


def test_a_disk_that_is_full_only_when_the_file_is_flushed_is_named_too(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # as over NFS
    with pytest.raises(OSError, match="No space left") as raised:
        write_aside(tmp_path / "there.json", "new")
    assert raised.value.filename == str(tmp_path / "there.json")
    assert not list(tmp_path.iterdir())


def test_the_temporary_file_lies_next_to_its_target(tmp_path):
    with aside(tmp_path / "new" / "there.json") as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path / "new"  # of another file system it could not be renamed
        assert not (tmp_path / "new" / "there.json").exists()


def test_a_folder_takes_its_place_as_a_whole_and_the_old_one_stays_until_then(tmp_path):
    out = tmp_path / "bundle"
    for content in ("old", "new"):
        with folder_aside(out) as fresh:
            (fresh / "file").write_text(content)
            inode = fresh.stat().st_ino
            assert not out.exists() or (out / "file").read_text() == "old"
        assert (out.stat().st_ino, (out / "file").read_text()) == (inode, content)
        assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_folder_whose_writer_is_stopped_leaves_the_old_one_and_nothing_else(tmp_path, number, code):
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "file").write_text("old")
    script = (
        "import signal, sys, time\nfrom pathlib import Path\nfrom bus_lightning.core.files import folder_aside\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # under nohup it is ignored
        "with folder_aside(Path(sys.argv[1])) as fresh:\n"
        "    (fresh / 'file').write_text('new')\n    print('writing', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, out], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        try:
            assert process.wait(60) == code
        finally:
            process.kill()
    assert [(path.name, (path / "file").read_text()) for path in tmp_path.iterdir()] == [("bundle", "old")]


def test_ctrl_c_works_as_usual_while_a_folder_is_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), folder_aside(tmp_path / "bundle"):
        signal.raise_signal(signal.SIGINT)
    assert not list(tmp_path.iterdir())


def test_files_that_are_written_together_are_all_written_or_none(tmp_path, monkeypatch):
    first, second = tmp_path / "first.md", tmp_path / "second.json"
    first.write_text("old")
    write = Path.write_bytes

    def fails(self, content):
        if "second" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OSError, match="No space left") as error:
        write_together({first: "new", second: "new"})
    assert error.value.filename == str(second)
    assert (first.read_text(), list(tmp_path.iterdir())) == ("old", [first])
    monkeypatch.undo()
    write_together({first: "new", second: "newer"})
    assert (first.read_text(), second.read_text()) == ("new", "newer")
